"""Table 1 as a figure: raw rates of chunks, ours and the published ones told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.support.figures import BLUE, GREY, ORANGE, new_figure
from experiments.support.records import Row
from experiments.support.table_1_tables import COLUMNS, Line, lines_of, published_lines
from lmcompress.benchmark.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = COLUMNS[:-1]
"""All but random bytes."""


def draw(records: Sequence[Record], chunks: Sequence[Row]) -> Figure:
    """Returns a panel for each modality but random bytes, a line for each compressor of chunks."""
    lines = [line for line in (*lines_of(records, chunks), *published_lines()) if line.is_chunked]
    figure = new_figure(11, 0.9 + 0.2 * len(lines))
    panels = figure.subplots(1, len(DRAWN), sharey=True)
    for axes, modality in zip(panels, DRAWN, strict=True):
        axes.axvline(100, color="0.8", lw=0.8, zorder=0)
        for place, line in enumerate(lines):
            _mark(axes, place, line, modality)
        axes.set(title=modality, xlabel="compressed over raw size, %", xlim=(0, 235))
        axes.grid(axis="y", color="0.92")
        axes.tick_params(left=False)
    panels[0].set_yticks(range(len(lines)), [_label(line) for line in lines])
    panels[0].set_ylim(len(lines) - 0.5, -0.5)
    kinds = {"o": "file, decompressed and compared", "s": "scored, no file", "x": "published"}
    for marker, label in kinds.items():
        panels[0].plot([], [], marker, color=GREY, fillstyle="none" if marker == "s" else "full",
                       label=label)  # fmt: skip
    figure.legend(loc="outside lower center", ncols=len(kinds), frameon=False)
    return figure


def _mark(axes: Axes, place: int, line: Line, modality: str) -> None:
    if modality not in line.rates:
        return
    color = ORANGE if line.is_published else BLUE
    is_scored = modality in line.scored
    marker = "x" if line.is_published else "s" if is_scored else "o"
    style = "none" if is_scored else "full"
    error = 100 * line.half_widths.get(modality, 0)
    axes.errorbar(100 * line.rates[modality], place, xerr=error, fmt=marker, color=color,
                  fillstyle=style, ms=5)  # fmt: skip


def _label(line: Line) -> str:
    return f"{line.compressor}, published" if line.is_published else line.compressor
