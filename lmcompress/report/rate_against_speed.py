"""Bits per byte against speed: a dot for each codec, a line along the Pareto front.

One panel for compression and one for decompression, the same rates in both. `bench --plot` and the
README's picture are both drawn here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lmcompress.report.speeds import ACTIONS, Action, Speed, pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.text import Annotation

_FRONT_SAYS = "The line, the Pareto front, joins the codecs that no other beats in both."
_ROOM_LEFT, _ROOM_RIGHT = 3.3, 11.0
"""How many times slower and faster than all dots the axis goes on, for labels."""
_TOP_ROOM = 0.12


class Theme(NamedTuple):
    """Colors on a light or a dark page, told apart by all eyes (Okabe and Ito, 2008)."""

    name: str
    ink: str
    faint: str
    ours: str
    classical: str


PAPER = Theme("paper", ink="#000000", faint="#d8d8d8", ours="#0072B2", classical="#767676")
"""On white; its greys follow the theme of a page that the figure is put into."""


def draw_rate_against_speed(
    figure: Figure | SubFigure, speeds: Sequence[Speed], theme: Theme = PAPER
) -> None:
    """Draws both panels, side by side.

    Args:
      figure: Empty, with a constrained layout; of a larger figure, the part that is drawn last.
      speeds: One or more.
      theme: Colors.
    """
    from lmcompress.report.label_places import boxes_of_steps, place_labels

    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    figure.supxlabel(_FRONT_SAYS, size=8, color=theme.ink)
    drawn = [_draw_panel(*both, speeds, theme) for both in zip(panels, ACTIONS, strict=True)]
    _set_limits(panels[0], speeds)
    panels[0].set_ylabel("bits per byte, lower is better", color=theme.ink)
    panels[0].figure.figure.draw_without_rendering()  # lays out; labels are placed by pixels
    for axes, (corners, labels) in zip(panels, drawn, strict=True):
        place_labels(axes, labels, boxes_of_steps(axes, corners, width=2))


def _draw_panel(
    axes: Axes, action: Action, speeds: Sequence[Speed], theme: Theme
) -> tuple[list[tuple[float, float]], list[Annotation]]:
    """Returns the corners of the front and the labels of the dots."""
    corners = front_corners(pareto_front(speeds, action), action)
    axes.plot(*zip(*corners, strict=True), color=theme.ink, linewidth=0.8, alpha=0.5, zorder=1)
    labels = [_draw_dot(axes, one, action, theme) for one in speeds]
    _style(axes, action, theme)
    return corners, labels


def front_corners(front: Sequence[Speed], action: Action) -> list[tuple[float, float]]:
    """Returns the corners of a line of steps: the best rate at each speed or above."""
    dots = [(getattr(one, action), one.bits_per_byte) for one in front]
    corners = dots[:1]
    for slow, fast in itertools.pairwise(dots):
        corners += [(slow[0], fast[1]), fast]
    return corners


def _draw_dot(axes: Axes, one: Speed, action: Action, theme: Theme) -> Annotation:
    place = (getattr(one, action), one.bits_per_byte)
    color = theme.ours if one.is_ours else theme.classical
    axes.plot(*place, "o", color=color, markersize=7 if one.is_ours else 5)
    label = axes.annotate(
        one.codec,
        place,
        xytext=(0, 0),
        textcoords="offset points",
        color=color if one.is_ours else theme.ink,
        weight="bold" if one.is_ours else "normal",
    )
    label.set_in_layout(False)  # else its first place would change the size of the panel
    return label


def _set_limits(axes: Axes, speeds: Sequence[Speed]) -> None:
    all_speeds = [getattr(one, action) for one in speeds for action in ACTIONS]
    axes.set_xlim(min(all_speeds) / _ROOM_LEFT, max(all_speeds) * _ROOM_RIGHT)
    rates = [one.bits_per_byte for one in speeds]
    room = _TOP_ROOM * (max(rates) - min(rates)) or 0.5
    axes.set_ylim(min(rates) - room, max(rates) + room)


def _style(axes: Axes, action: Action, theme: Theme) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda speed, _: speed_label(speed)))
    axes.set_title(f"{action}ion speed", loc="left", size=10, weight="bold", color=theme.ink)
    axes.set_facecolor("none")
    axes.grid(color=theme.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, length=0)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(theme.faint)


def speed_label(kilobytes_per_second: float) -> str:
    """Returns a speed in the unit that gives the shortest number."""
    for unit, size in (("GB/s", 1e6), ("MB/s", 1e3)):
        if kilobytes_per_second >= size:
            return f"{kilobytes_per_second / size:g} {unit}"
    return f"{kilobytes_per_second:g} kB/s"
