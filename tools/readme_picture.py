"""The picture of the README: bits per byte against speed, one dot a codec, light and dark.

One text, one machine, one run. Labels are placed by hand; a test measures that none overlap.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.report.figures import write_figure
from tools.headline import ROOT, STAGE, Speed, Speeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = ROOT / "docs" / "images"


class Theme(NamedTuple):
    """Colors on a light or a dark page, told apart by all eyes (Okabe and Ito, 2008)."""

    name: str
    ink: str
    faint: str
    ours: str
    classical: str


THEMES = (
    Theme("light", ink="#1f2328", faint="#d1d9e0", ours="#0072b2", classical="#6e7781"),
    Theme("dark", ink="#e6edf3", faint="#3d444d", ours="#56b4e9", classical="#9198a1"),
)
_RIGHT, _LEFT, _BELOW = (7, 0, "left"), (-7, 0, "right"), (0, -11, "center")
_LABELS = {DEFAULT_MODEL: "lmcompress", STAGE: "-m none"}
PLACES = {
    "compress": {STAGE: _LEFT, "zstd-22": _LEFT, "brotli-11": _BELOW},
    "decompress": {STAGE: _LEFT, "xz-9e": _LEFT, "bzip2-9": _LEFT, "brotli-11": _BELOW},
}
"""Where the label of a dot goes: offsets in points, alignment. Right of it, if not named."""


def paths(folder: Path = FOLDER) -> dict[Theme, Path]:
    """Returns where the picture of each theme goes."""
    return {theme: folder / f"rate-against-speed-{theme.name}.svg" for theme in THEMES}


def write(speeds: Speeds, folder: Path = FOLDER, suffix: str = ".svg") -> None:
    """Writes the picture in all themes; as .png to look at."""
    for theme, path in paths(folder).items():
        write_figure(functools.partial(draw, speeds, theme), path.with_suffix(suffix))


def draw(speeds: Speeds, theme: Theme) -> Figure:
    """Returns a panel for compression and one for decompression, the same rates in both."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.6))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    figure.subplots_adjust(left=0.07, right=0.99, bottom=0.09, top=0.92, wspace=0.06)
    for axes, action in zip(panels, PLACES, strict=True):
        for row in speeds.rows:
            _draw_dot(axes, row, action, theme)
        _label_axes(axes, action, theme)
    panels[0].set_ylabel("bits per byte, lower is better", color=theme.ink)
    panels[0].set_ylim(1.35, 2.8)
    panels[0].set_xlim(3, 8e6)
    figure.patch.set_alpha(0)
    return figure


def _draw_dot(axes: Axes, row: Speed, action: str, theme: Theme) -> None:
    is_ours = row.codec in _LABELS
    place = (getattr(row, action), row.bits_per_byte)
    x, y, alignment = PLACES[action].get(row.codec, _RIGHT)
    color = theme.ours if is_ours else theme.classical
    axes.plot(*place, "o", color=color, markersize=7 if is_ours else 5)
    axes.annotate(
        _LABELS.get(row.codec, row.codec),
        place,
        xytext=(x, y),
        textcoords="offset points",
        horizontalalignment=alignment,
        verticalalignment="center",
        color=color if is_ours else theme.ink,
        weight="bold" if is_ours else "normal",
    )


def _label_axes(axes: Axes, action: str, theme: Theme) -> None:
    axes.set_xscale("log")
    speeds = {10: "10 kB/s", 1e3: "1 MB/s", 1e5: "100 MB/s"}
    axes.set_xticks(list(speeds), list(speeds.values()))
    axes.minorticks_off()
    axes.set_title(f"{action}ion speed", loc="left", size=10, weight="bold", color=theme.ink)
    axes.set_facecolor("none")
    axes.grid(color=theme.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, length=0)
    axes.spines[:].set_color(theme.faint)
