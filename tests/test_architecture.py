"""The rules that no single module can keep: who may import whom, which names are public."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lmcompress
from lmcompress import errors
from lmcompress.training.config import TrainConfig

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numba", "pandas", "matplotlib")


def test_imports_keep_the_contracts() -> None:
    """They are in pyproject.toml. In its own process: import-linter disables our loggers."""
    program = "import sys, importlinter.cli as cli; sys.exit(cli.lint_imports(no_cache=True))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT
    )

    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("module", ["lmcompress", "lmcompress.cli.main"])
def test_import_is_light(module: str) -> None:
    program = f"import sys, {module}; print(*[m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert result.stdout.split() == []


def test_public_names_are_sorted_and_exact() -> None:
    tree = ast.parse(Path(lmcompress.__file__).read_text("utf-8"))
    for_type_checkers = {
        (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    exceptions = {name for name in vars(errors) if name.endswith("Error")}
    at_run_time = {(f"lmcompress.{home}", name) for name, home in lmcompress._HOMES.items()}

    assert lmcompress.__all__ == sorted(lmcompress.__all__)
    assert for_type_checkers == at_run_time
    assert set(lmcompress.__all__) == {name for _, name in at_run_time} | exceptions
    assert {getattr(lmcompress, name).__name__ for name in lmcompress.__all__} == set(
        lmcompress.__all__
    )


CONFIGS = sorted((ROOT / "experiments" / "configs").glob("*.toml"))


def test_there_are_training_configurations() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_training_configuration_parses(path: Path) -> None:
    assert TrainConfig.from_toml(path).name == path.stem
