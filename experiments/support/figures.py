"""Figures of an experiment, made from its records alone: colors, panels, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.support.tables import write_texts
from lmcompress.report.figures import write_figure
from lmcompress.report.tables import corpus_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MakeFigures = Mapping[str, Callable[[], "Figure"]]
"""Stem of the file name -> function that draws the figure."""
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#767676"
SKY, VERMILION, BLACK = "#56B4E9", "#D55E00", "#000000"
"""Color-blind readers can tell these apart (Okabe and Ito, 2008)."""


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def panels(names: Sequence[str]) -> tuple[Figure, Sequence[Axes]]:
    """Returns a figure with a panel of bits per byte for each corpus, side by side."""
    figure = new_figure(4 * len(names), 3.4)
    row = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, title in zip(row, corpus_labels(names).values(), strict=True):
        axes.set_title(title, fontsize=10)
        axes.set(ylabel="bits per byte")
    return figure, row


def finished(figure: Figure) -> Figure:
    """Returns a figure that has been plotted to, with a legend and axes that start at zero."""
    for axes in figure.axes:
        axes.set_ylim(0, None)
    figure.axes[0].legend()
    return figure


def write_figures(figures: MakeFigures, folder: Path) -> None:
    """Writes STEM.svg and STEM.png of each figure, in the project's style."""
    for stem, make in figures.items():
        for suffix in ("svg", "png"):
            write_figure(make, folder / f"{stem}.{suffix}")


def write_derived(folder: Path, texts: Mapping[str, str], figures: MakeFigures) -> None:
    """Writes an experiment's texts by file name, and its figures as SVG and PNG."""
    write_texts(texts, folder)
    write_figures(figures, folder)
