"""What an experiment leaves behind, made from its records alone: CSV, markdown table, figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompress.report.figures import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]
MakeFigures = Mapping[str, Callable[[], "Figure"]]
"""By the stem of their files."""
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#767676"
SKY, VERMILION, BLACK = "#56B4E9", "#D55E00", "#000000"
"""Told apart by all eyes (Okabe and Ito, 2008)."""


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows as tidy CSV, a column for each key."""
    import pandas as pd

    # As objects: a column of integers with a gap must not turn into floats.
    return str(pd.DataFrame(list(rows), dtype=object).to_csv(index=False, lineterminator="\n"))


def markdown_of(rows: Sequence[Mapping[str, Any]], note: str) -> str:
    """Returns a line that says what is shown, and a table with a column for each key."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "| --- " + "| ---: " * (len(columns) - 1) + "|"]
    for row in rows:
        cells = ("–" if row[c] is None else str(row[c]) for c in columns)  # noqa: RUF001
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([note, "", *lines, ""])


def write_texts(texts: Mapping[str, str], folder: Path) -> None:
    """Writes text files by name."""
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8", newline="\n")


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def write_figures(figures: MakeFigures, folder: Path) -> None:
    """Writes STEM.svg and STEM.png of each, made in the project's style; the same each time."""
    for stem, make in figures.items():
        for suffix in ("svg", "png"):
            write_figure(make, folder / f"{stem}.{suffix}")


def write_derived(folder: Path, texts: Mapping[str, str], figures: MakeFigures) -> None:
    """Writes an experiment's texts by file name, and its figures as SVG and PNG by stem."""
    write_texts(texts, folder)
    write_figures(figures, folder)
