"""The picture of the README: bits per byte against speed, one dot a codec, light and dark.

One text, one machine, one run.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from lmcompress.report.figures import write_figure
from lmcompress.report.rate_against_speed import Theme, draw_rate_against_speed
from lmcompress.report.speeds import Speeds, labelled
from tools.headline import ROOT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = ROOT / "docs" / "images"
THEMES = (
    Theme("light", ink="#1f2328", faint="#d1d9e0", ours="#0072b2", classical="#6e7781"),
    Theme("dark", ink="#e6edf3", faint="#3d444d", ours="#56b4e9", classical="#9198a1"),
)


def paths(folder: Path = FOLDER) -> dict[Theme, Path]:
    """Returns where the picture of each theme goes."""
    return {theme: folder / f"rate-against-speed-{theme.name}.svg" for theme in THEMES}


def write(speeds: Speeds, folder: Path = FOLDER, suffix: str = ".svg") -> None:
    """Writes the picture in all themes; as .png to look at."""
    for theme, path in paths(folder).items():
        write_figure(functools.partial(draw, speeds, theme), path.with_suffix(suffix))


def draw(speeds: Speeds, theme: Theme) -> Figure:
    """Returns the picture in one theme, on nothing: the page shows through."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    draw_rate_against_speed(figure, labelled(speeds.rows), theme)
    figure.patch.set_alpha(0)
    return figure
