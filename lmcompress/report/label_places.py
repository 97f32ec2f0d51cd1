"""Where the labels of dots go, so that they hide neither each other nor a dot."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lmcompress.system.extras import needs_extra

with needs_extra("bench", "a plot", "matplotlib"):
    from matplotlib.transforms import Bbox

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_POINTS_PER_INCH = 72
_DOT = 4.0
"""Half the width of a dot that is kept free, in points."""
_MAX_SWEEPS = 10
_LINE_WEIGHT = 0.3
"""A label across a thin line can still be read; one across a label or a dot cannot."""


class Place(NamedTuple):
    """An offset from the dot in points, and which side of the text is there."""

    x: float
    y: float
    horizontal: str
    vertical: str


PLACES = (
    Place(7, 0, "left", "center"),
    Place(-7, 0, "right", "center"),
    Place(0, 6, "center", "bottom"),
    Place(0, -6, "center", "top"),
    Place(5, 4, "left", "bottom"),
    Place(5, -4, "left", "top"),
    Place(-5, 4, "right", "bottom"),
    Place(-5, -4, "right", "top"),
    Place(0, 14, "center", "bottom"),
    Place(0, -14, "center", "top"),
    Place(12, 11, "left", "bottom"),
    Place(12, -11, "left", "top"),
    Place(-12, 11, "right", "bottom"),
    Place(-12, -11, "right", "top"),
)
"""The first is taken where it is as good as any other."""


def place_labels(axes: Axes, labels: Sequence[Annotation], line: Sequence[Bbox] = ()) -> None:
    """Moves labels to the places where they overlap least.

    Each in turn takes the best of PLACES, the others being where they are, until none moves.

    Args:
      axes: Drawn already, so that its place in the figure is known.
      labels: Each with its dot at `xy`, in data coordinates.
      line: Boxes of a line that labels had better not cross, in pixels.
    """
    scale = axes.figure.dpi / _POINTS_PER_INCH
    dots = [_around(*_dot(axes, label), _DOT * scale) for label in labels]
    options = [_boxes(axes, label, scale) for label in labels]
    chosen = [0] * len(labels)
    for _ in range(_MAX_SWEEPS):
        before = list(chosen)
        for i, boxes in enumerate(options):
            others = [options[j][chosen[j]] for j in range(len(labels)) if j != i]
            costs = [_cost(box, [*others, *dots], line, axes.bbox) for box in boxes]
            chosen[i] = costs.index(min(costs))
        if chosen == before:
            break
    for label, choice in zip(labels, chosen, strict=True):
        x, y, horizontal, vertical = PLACES[choice]
        label.set(position=(x, y), horizontalalignment=horizontal, verticalalignment=vertical)


def _dot(axes: Axes, label: Annotation) -> tuple[float, float]:
    """Returns the middle of a label's dot, in pixels."""
    x, y = axes.transData.transform(label.xy)
    return float(x), float(y)


def _around(x: float, y: float, half: float) -> Bbox:
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _boxes(axes: Axes, label: Annotation, scale: float) -> list[Bbox]:
    """Returns what a label would cover in each of PLACES, in pixels."""
    size = label.get_window_extent()
    x, y = _dot(axes, label)
    shifts = {"left": 0.0, "bottom": 0.0, "center": 0.5, "right": 1.0, "top": 1.0}
    boxes = []
    for place in PLACES:
        left = x + place.x * scale - shifts[place.horizontal] * size.width
        bottom = y + place.y * scale - shifts[place.vertical] * size.height
        boxes.append(Bbox.from_bounds(left, bottom, size.width, size.height))
    return boxes


def _cost(box: Bbox, taken: Sequence[Bbox], line: Sequence[Bbox], inside: Bbox) -> float:
    """Returns how much of a box would hide something, in square pixels."""
    outside = box.width * box.height - _overlap(box, inside)
    hidden = sum(_overlap(box, other) for other in taken)
    return outside + hidden + _LINE_WEIGHT * sum(_overlap(box, part) for part in line)


def _overlap(a: Bbox, b: Bbox) -> float:
    common = Bbox.intersection(a, b)
    return float(common.width * common.height) if common else 0.0


def boxes_of_steps(axes: Axes, corners: Sequence[tuple[float, float]], width: float) -> list[Bbox]:
    """Returns the boxes of a line of horizontal and vertical parts.

    Args:
      axes: Drawn already.
      corners: In data coordinates.
      width: Of the line, in pixels.
    """
    pixels = [tuple(axes.transData.transform(corner)) for corner in corners]
    return [
        Bbox.from_extents(min(x), min(y), max(x), max(y)).padded(width / 2)
        for x, y in (zip(*ends, strict=True) for ends in itertools.pairwise(pixels))
    ]
