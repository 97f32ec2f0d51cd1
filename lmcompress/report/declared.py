"""The titles, groups, captions and questions that scripts beside a results folder declare.

Scripts are parsed and never run.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_INIT = "__init__.py"


_NAMES = ("EXPERIMENTS", "GROUPS", "CAPTIONS")


@dataclasses.dataclass(frozen=True)
class Declared:
    """Constants of experiments/__init__.py; empty when there are no scripts."""

    titles: Mapping[str, str]
    """Experiment -> title."""
    groups: Mapping[str, Sequence[str]]
    """Heading -> the experiments under it."""
    captions: Mapping[str, str]
    """EXPERIMENT/STEM of a figure -> what it shows."""
    scripts: Path | None

    def docstring(self, experiment: str) -> tuple[str, str]:
        """Returns the first line of a script's docstring, and the rest; both may be empty."""
        script = self.scripts / f"{experiment}.py" if self.scripts else None
        text = ast.get_docstring(_parsed(script)) if script and script.is_file() else None
        question, _, method = (text or "").partition("\n")
        return question.strip(), method.strip("\n")


def declared_beside(folder: Path) -> Declared:
    """Returns what experiments/ of the checkout declares that a results folder belongs to."""
    for parent in folder.resolve().parents:
        scripts = parent / "experiments"
        if (scripts / _INIT).is_file():
            found = _constants(scripts / _INIT)
            return Declared(
                found.get("EXPERIMENTS", {}),
                found.get("GROUPS", {}),
                found.get("CAPTIONS", {}),
                scripts,
            )
    return Declared({}, {}, {}, None)


def _constants(script: Path) -> dict[str, Any]:
    """Returns those dictionaries of a script that a page needs."""
    return {
        node.target.id: ast.literal_eval(node.value)
        for node in _parsed(script).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id in _NAMES
        and isinstance(node.value, ast.Dict)
    }


def _parsed(script: Path) -> ast.Module:
    return ast.parse(script.read_text("utf-8"), script.name)
