"""Reads results/: one folder per experiment.

A folder counts if it has records.jsonl or table.md. The question that an experiment asks is in the
docstring of its script; scripts are parsed and never run.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompress.benchmark.records import read_rows
from lmcompress.errors import LmcompressError
from lmcompress.system.extras import needs_extra

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
FIRST = (
    "table_1", "figure_2", "figure_3", "figure_4", "table_2", "scaling_law", "ladder_table",
    "model_sizes",
)  # fmt: skip
"""The paper's tables and figures come first, then other declared experiments, then the rest."""
_RECORDS, _TABLE = "records.jsonl", "table.md"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One folder of results/."""

    name: str
    title: str
    question: str
    """The first line of the script's docstring; like `method`, empty without a script."""
    method: str
    """The rest of the docstring, markdown."""
    table: str
    """Markdown; empty if there is no table.md yet."""
    rows: Sequence[Row]
    figures: Sequence[Path]
    """One file for each figure: the SVG if there is one, else the PNG."""


@dataclasses.dataclass(frozen=True)
class Results:
    """All experiments with results, and those without."""

    experiments: Sequence[Experiment]
    missing: Mapping[str, str]
    """Name -> title of declared experiments without results."""
    documents: Sequence[str]
    """README.md and LOG.md of the folder, markdown, if they exist."""


def read_results(folder: Path) -> Results:
    """Returns the contents of a results folder, the paper's tables and figures first.

    Raises:
      LmcompressError: If no experiment has results there, or a record is damaged.
    """
    scripts = _scripts_beside(folder)
    declared = _declared(scripts)
    found = {path.name: path for path in _experiment_folders(folder)}
    if not found:
        raise LmcompressError(
            f"found no results in {folder}, expected folders with {_RECORDS} or {_TABLE}: run "
            "`lmcompress reproduce` in a checkout, or name another folder"
        )
    order = [name for name in dict.fromkeys((*FIRST, *declared, *sorted(found))) if name in found]
    return Results(
        [_read(found[name], declared.get(name), scripts) for name in order],
        {name: title for name, title in declared.items() if name not in found},
        [path.read_text("utf-8") for path in _documents(folder) if path.is_file()],
    )


def frame_of(results: Results) -> pd.DataFrame:
    """Returns all records as one table: the experiment's name, then a column for each field."""
    with needs_extra("notebooks", "a table of all records", "pandas"):
        import pandas as pd
    return pd.DataFrame(
        [{"experiment": one.name, **row} for one in results.experiments for row in one.rows]
    )


def has_results(folder: Path) -> bool:
    """Returns whether any experiment has results there."""
    return any(_experiment_folders(folder))


def _experiment_folders(folder: Path) -> Iterator[Path]:
    """Yields the folders of experiments, sorted by name; results/quick is none."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / _RECORDS).is_file() or (path / _TABLE).is_file():
            yield path


def _documents(folder: Path) -> Iterator[Path]:
    return (folder / name for name in ("README.md", "LOG.md"))


def _read(folder: Path, title: str | None, scripts: Path | None) -> Experiment:
    table = folder / _TABLE
    question, method = _docstring(scripts / f"{folder.name}.py") if scripts else ("", "")
    return Experiment(
        name=folder.name,
        title=title or folder.name.replace("_", " ").capitalize(),
        question=question,
        method=method,
        table=table.read_text("utf-8") if table.is_file() else "",
        rows=read_rows(folder / _RECORDS),
        figures=_figures(folder),
    )


def _figures(folder: Path) -> list[Path]:
    by_stem = {path.stem: path for path in sorted(folder.glob("*.png"))}
    by_stem |= {path.stem: path for path in sorted(folder.glob("*.svg"))}
    return [by_stem[stem] for stem in sorted(by_stem)]


def _scripts_beside(folder: Path) -> Path | None:
    """Returns experiments/ of the checkout that a results folder belongs to."""
    for parent in folder.resolve().parents:
        if (parent / "experiments" / "__init__.py").is_file():
            return parent / "experiments"
    return None


def _declared(scripts: Path | None) -> dict[str, str]:
    """Returns EXPERIMENTS of experiments/__init__.py: name -> title."""
    if scripts is None:
        return {}
    for node in _parsed(scripts / "__init__.py").body:
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "EXPERIMENTS":
            return dict(ast.literal_eval(node.value)) if node.value else {}
    return {}


def _docstring(script: Path) -> tuple[str, str]:
    """Returns the first line of a script's docstring, and the rest."""
    text = ast.get_docstring(_parsed(script)) if script.is_file() else None
    question, _, method = (text or "").partition("\n")
    return question.strip(), method.strip("\n")


def _parsed(script: Path) -> ast.Module:
    return ast.parse(script.read_text("utf-8"), script.name)
