"""The rules that no single module can keep: who may import whom, and that documents are true."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lmcompress
from lmcompress import errors
from lmcompress.cli.main import main
from lmcompress.training.config import TrainConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
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


@pytest.mark.parametrize(
    "text",
    [*re.findall(r"```python\n(.*?)```", README, re.DOTALL), lmcompress.__doc__],
    ids=["README", "lmcompress"],
)
def test_documented_python_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(text, {}, "documentation", None, None)
    report: list[str] = []
    results = doctest.DocTestRunner().run(test, out=report.append)

    assert results.attempted > 0
    assert results.failed == 0, "".join(report)


SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
COMMANDS = re.findall(r"(?:^| -m )lmcompress (\w+)([^#\n]*)", SHELL, re.MULTILINE)


@pytest.mark.parametrize(("command", "arguments"), COMMANDS, ids=lambda value: value.strip())
def test_documented_command_has_its_options(
    command: str, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0

    text = capsys.readouterr().out
    for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", arguments):
        assert re.search(rf"{option}\b", text), option


def test_readme_opens_with_the_two_lines() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv ")]

    assert len(lines) == 2
    assert lines[0].endswith(" && .venv/bin/lmcompress demo")
    assert lines[1].endswith(" && .venv/bin/python -m pytest -q -n 2")
    assert README.index(lines[1]) < README.index("\n## ")
