"""Figures of an experiment, made from its records alone: colors, panels, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.support.paper import LADDER
from experiments.support.tables import write_texts
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.report.figures import write_figure
from lmcompress.report.tables import corpus_labels, range_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE_WIDTH = 7.6
"""Inches; wider figures are shrunk on the page, and their text with them."""
MakeFigures = Mapping[str, Callable[[], "Figure"]]
"""Stem of the file name -> function that draws the figure."""
BLUE, ORANGE, GREEN, PINK, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#767676"
SKY, VERMILION, BLACK = "#56B4E9", "#D55E00", "#000000"
"""Color-blind readers can tell these apart (Okabe and Ito, 2008)."""
_RAMP = ("#9ECAE1", "#4292C6", "#2171B5", "#084594")
COLOR_OF = {
    **dict(zip(LADDER, _RAMP, strict=True)),
    DEFAULT_MODEL: VERMILION,
    "gzip-9": GREY,
    "xz-9e": BLACK,
}
"""The ladder gets darker with size; what is no GPT is grey or black."""


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def panels(names: Sequence[str]) -> tuple[Figure, Sequence[Axes]]:
    """Returns a figure with a panel of bits per byte for each corpus, up to three side by side."""
    columns = 2 if len(names) == 4 else min(3, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(min(PAGE_WIDTH, 3.8 * columns), 2.7 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, title) in zip(grid, corpus_labels(names).items(), strict=True):
        axes.set_title(title, fontsize=9)
        axes.set_title(range_note(name), loc="right", fontsize=7)
    for axes in grid[::columns]:
        axes.set_ylabel("bits per byte")
    return figure, list(grid)


def mark_sizes(axes: Axes, sizes: Mapping[str, int]) -> None:
    """Puts the sizes of models on a logarithmic axis, by their names: ladder-3200k is 3.2M."""
    axes.set_xscale("log")
    axes.set_xticks(list(sizes.values()), [_size_in(name) for name in sizes])
    axes.minorticks_off()
    axes.set_xlabel("parameters")


def _size_in(name: str) -> str:
    size = name.rpartition("-")[2]
    return f"{int(size[:-3]) / 10}M" if size.endswith("00k") and len(size) == 5 else size


def finished(figure: Figure) -> Figure:
    """Returns a figure that has been plotted to, with a legend and axes that start at zero."""
    for axes in figure.axes:
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])  # or the highest marker would be cut off
    figure.axes[0].legend(fontsize=8, frameon=False)
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
