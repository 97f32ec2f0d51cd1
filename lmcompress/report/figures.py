"""Figures made from records alone; the same records give the same SVG, byte for byte.

Bars start at zero. What lmcompress makes is blue and classical codecs are grey, colors that
color-blind readers can tell apart (Okabe and Ito, 2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompress.benchmark.records import Record, latest
from lmcompress.errors import LmcompressError
from lmcompress.report.rate_against_speed import PAPER, draw_rate_against_speed
from lmcompress.report.speeds import speeds_of_records
from lmcompress.report.tables import by_total, corpus_labels, range_note
from lmcompress.system.atomic import replace_atomically
from lmcompress.system.extras import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_CLASSICAL_BAR, _STAGE_BAR = "#B5B5B5", "#7FB7D8"
_SPEEDS_WIDTH, _SPEEDS_HEIGHT = 8.6, 3.8
"""In inches: less, and the labels of ten codecs would overlap."""
_SUFFIXES = (".svg", ".png")
_COLORS = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000"]
"""Of lines that are given none."""
_STYLE: Any = {
    "svg.hashsalt": "lmcompress",  # otherwise ids are random
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 9,
    "figure.constrained_layout.h_pad": 0.1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


def plot_bits_per_byte(records: Iterable[Record], path: Path, *, overwrite: bool = True) -> None:
    """Draws a panel for each file, with a bar for each codec, the best total on top.

    `stored` is left out: at 8 bits per byte it would squeeze all other bars to the left.

    Args:
      records: Records without compressed bytes are left out.
      path: Ends in .svg or .png.
      overwrite: Whether a file may be there already.

    Raises:
      LmcompressError: If there is nothing to draw, or the suffix is another.
      MissingDependencyError: If matplotlib is not installed.
    """
    drawn = _drawn(records)
    write_figure(lambda: _rates(drawn), path, overwrite=overwrite)


def plot_benchmark(records: Iterable[Record], path: Path, *, overwrite: bool = True) -> None:
    """Draws `plot_bits_per_byte` and, below it, bits per byte of all files against speed.

    Arguments and errors are those of `plot_bits_per_byte`.
    """
    drawn = _drawn(records)
    write_figure(lambda: _rates_and_speeds(drawn), path, overwrite=overwrite)


def check_plot(path: Path) -> None:
    """Raises LmcompressError unless a figure with that name can be drawn."""
    if path.suffix not in _SUFFIXES:
        raise LmcompressError(f"cannot plot to {path}: expected a name in {' or '.join(_SUFFIXES)}")
    with needs_extra("bench", "a plot", "matplotlib"):
        import matplotlib  # noqa: F401


def write_figure(make: Callable[[], Figure], path: Path, *, overwrite: bool = True) -> None:
    """Writes the figure that `make` returns, in this module's style instead of the user's own.

    Args:
      make: Called after the style is set.
      path: Ends in .svg or .png.
      overwrite: Whether a file may be there already.

    Raises:
      LmcompressError: If the suffix is another.
      MissingDependencyError: If matplotlib is not installed.
    """
    check_plot(path)
    import matplotlib
    from cycler import cycler

    with matplotlib.rc_context(), replace_atomically(path, overwrite=overwrite) as output:
        matplotlib.rcdefaults()  # the user's own style must not change the bytes
        matplotlib.rcParams.update(_STYLE)
        matplotlib.rcParams["axes.prop_cycle"] = cycler(color=_COLORS)
        make().savefig(
            output,
            format=path.suffix[1:],
            dpi=150,
            metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else None,
        )


def _drawn(records: Iterable[Record]) -> list[Record]:
    drawn = [
        record
        for record in latest(records)
        if record.bits_per_byte is not None and record.codec != "stored"
    ]
    if not drawn:
        raise LmcompressError("no record of a codec has bits per byte: measure before plotting")
    return drawn


def _rates(records: Sequence[Record]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_size_of_bars(records), layout="constrained")
    _draw_bars(figure, records)
    return figure


def _rates_and_speeds(records: Sequence[Record]) -> Figure:
    from matplotlib.figure import Figure

    speeds = speeds_of_records(records)
    if not speeds:
        return _rates(records)
    width, height = _size_of_bars(records)
    size = (max(width, _SPEEDS_WIDTH), height + _SPEEDS_HEIGHT)
    figure = Figure(figsize=size, layout="constrained")
    ratios = (height, _SPEEDS_HEIGHT)
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=ratios, hspace=0.04)
    above, below = parts[:, 0]
    _draw_bars(above, records)
    draw_rate_against_speed(below, speeds)
    return figure


def _num_columns(num_corpora: int) -> int:
    return 2 if num_corpora % 3 == 1 and num_corpora > 1 else min(3, num_corpora)


def _size_of_bars(records: Sequence[Record]) -> tuple[float, float]:
    """Returns width and height in inches."""
    num_corpora = len({record.corpus for record in records})
    num_columns = _num_columns(num_corpora)
    num_codecs = len({record.codec for record in records})
    width = 1.6 + 2.9 * max(1.3, num_columns)
    return width, 0.6 + math.ceil(num_corpora / num_columns) * (0.6 + 0.19 * num_codecs)


def _draw_bars(figure: Figure | SubFigure, records: Sequence[Record]) -> None:
    corpora = list(dict.fromkeys(record.corpus for record in records))
    codecs, labels = by_total(records), corpus_labels(corpora)
    num_columns = _num_columns(len(corpora))
    num_rows = math.ceil(len(corpora) / num_columns)
    grid = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for corpus, axes in zip(corpora, panels, strict=False):
        row = {record.codec: record for record in records if record.corpus == corpus}
        _draw_panel(axes, [row.get(codec) for codec in codecs])
        axes.set_title(labels[corpus], loc="left", size=9, weight="bold")
        axes.set_title(range_note(corpus), loc="right", size=7)
    for axes in panels[len(corpora) :]:
        axes.set_visible(False)
    for axes in panels[len(corpora) - num_columns : len(corpora)]:
        axes.tick_params(labelbottom=True)  # there is no panel below with the numbers
    first = panels[0]
    first.set_yticks(range(len(codecs)), codecs)
    first.set_ylim(len(codecs) - 0.5, -0.5)
    highest = max(record.bits_per_byte or 0.0 for record in records)
    first.set_xlim(0, highest * 1.18)  # room for the figures at the bars' ends
    figure.supxlabel("bits per byte (8 x compressed bytes / raw bytes), lower is better", size=9)


def _color_of(record: Record) -> str:
    if not record.fingerprint:
        return _CLASSICAL_BAR
    return PAPER.ours if record.num_parameters else _STAGE_BAR


def _draw_panel(axes: Axes, row: Sequence[Record | None]) -> None:
    for position, record in enumerate(row):
        if record is None or record.bits_per_byte is None:
            continue
        is_ours = bool(record.fingerprint)
        axes.barh(
            position,
            record.bits_per_byte,
            height=0.7,
            color=_color_of(record),
        )
        axes.annotate(
            f"{record.bits_per_byte:.2f}",
            (record.bits_per_byte, position),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            size=8,
            weight="bold" if is_ours else "normal",
        )
    axes.tick_params(left=False)
