"""Every notebook runs from its first cell to its last, in its folder, as Jupyter runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs_and_prints_what_is_committed(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`results_explorer` prints how many records there are: new ones make its outputs stale."""
    matplotlib.use("Agg")
    monkeypatch.chdir(path.parent)
    cells = code_cells(path)
    names: dict[str, object] = {}

    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), names)
        assert capsys.readouterr().out == printed(cell), f"jupyter execute --inplace {path}"
    plt.close("all")

    assert len(cells) > 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_outputs_are_light_whole_and_without_paths(path: Path) -> None:
    text = path.read_text("utf-8")
    cells = code_cells(path)

    assert len(text) < 250_000
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert kinds <= {"execute_result", "display_data", "stream"}
    assert not re.search(r"/(?:home|root|tmp|Users)/|[A-Z]:\\\\", text)


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def printed(cell: dict[str, Any]) -> str:
    """Returns what a cell wrote to stdout when it was last executed in Jupyter."""
    streams = [output for output in cell["outputs"] if output["output_type"] == "stream"]
    return "".join("".join(output["text"]) for output in streams if output["name"] == "stdout")
