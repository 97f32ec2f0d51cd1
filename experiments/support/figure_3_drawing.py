"""The pictures of Figure 3: text as a panel, image patches as a grid, speech as waveforms."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.support.figures import BLACK, BLUE, GREY, PAGE_WIDTH, new_figure
from experiments.support.modalities import PATCH_COLUMNS, PATCH_ROWS
from experiments.support.records import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEXT_SHOWN = 160
"""Bytes of the given text that the panel repeats."""
_LINE = 88
_PATCHES, _PATCH_COLUMNS = 2, 5
"""Patches that are drawn, and pictures side by side."""
_TRUE = "what really follows"


def readable(raw: bytes) -> str:
    """Returns bytes as text on one line: line ends as a sign, invalid UTF-8 as a box."""
    text = raw.decode("utf-8", errors="replace").replace("\ufffd", "▯").replace("\n", "⏎")
    return "".join(c if c.isprintable() else "▯" for c in text)


def _of(rows: Sequence[Row], modality: str) -> list[Row]:
    return [row for row in rows if row["modality"] == modality]


def _bytes(row: Row, key: str) -> bytes:
    return base64.b64decode(row[key])


def draw_text(rows: Sequence[Row]) -> Figure:
    """Returns the end of the first text, and how each source goes on."""
    rows = [row for row in _of(rows, "text") if row["item"] == 0]
    given = rows[0]["raw_bytes"] - rows[0]["drawn_bytes"]
    blocks = [("given (its end)", _bytes(rows[0], "piece")[given - _TEXT_SHOWN : given], GREY)]
    blocks.append((_TRUE, _bytes(rows[0], "piece")[given:], "black"))
    blocks += [(row["source"], _bytes(row, "made")[given:], BLUE) for row in rows]
    lines: list[tuple[str, str, str]] = []
    for name, raw, color in blocks:
        parts = textwrap.wrap(readable(raw), _LINE, drop_whitespace=False, break_long_words=True)
        lines += [(name if i == 0 else "", part, color) for i, part in enumerate(parts)]
    figure = new_figure(PAGE_WIDTH, 0.17 * len(lines) + 0.3)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(len(lines), -0.5))
    axes.axis("off")
    for i, (name, part, color) in enumerate(lines):
        axes.text(0.235, i, name, ha="right", va="center", size=7, weight="bold")
        axes.text(0.245, i, part, va="center", size=7, family="monospace", color=color)
    return figure


def draw_images(rows: Sequence[Row]) -> Figure:
    """Returns the first patches, each with what every source made of its left half."""
    rows = _of(rows, "images")
    items = sorted({row["item"] for row in rows})[:_PATCHES]
    names = list(dict.fromkeys(row["source"] for row in rows))
    lines = -(-(2 + len(names)) // _PATCH_COLUMNS)
    figure = new_figure(PAGE_WIDTH, 1.05 * lines * len(items))
    parts = figure.subfigures(len(items), 1, squeeze=False).ravel()
    for part, item in zip(parts, items, strict=True):
        grid = part.subplots(lines, _PATCH_COLUMNS, squeeze=False).ravel()
        of_item = {row["source"]: row for row in rows if row["item"] == item}
        piece = _patch(_bytes(next(iter(of_item.values())), "piece"))
        given = piece.astype(float)
        given[:, PATCH_COLUMNS // 2 :] = np.nan
        made = {name: _patch(_bytes(of_item[name], "made")) for name in names}
        for axes in grid:
            axes.axis("off")
        for axes, (name, patch) in zip(grid, {"original": piece, "given": given, **made}.items()):  # noqa: B905 - the last line may be short
            axes.imshow(patch, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.axvline(PATCH_COLUMNS / 2 - 0.5, color=BLUE, linewidth=0.6)
            axes.set_title(name, size=7, pad=2)
    return figure


def _patch(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, np.uint8).reshape(PATCH_ROWS, PATCH_COLUMNS)


def draw_speech(rows: Sequence[Row]) -> Figure:
    """Returns the first waveform as each source continues it, what was given in grey."""
    of_item = {row["source"]: row for row in _of(rows, "speech") if row["item"] == 0}
    first = next(iter(of_item.values()))
    given = first["raw_bytes"] - first["drawn_bytes"]
    waves = [(_TRUE, _bytes(first, "piece"), BLACK)]
    waves += [(name, _bytes(row, "made"), BLUE) for name, row in of_item.items()]
    lines = -(-len(waves) // 2)
    figure = new_figure(PAGE_WIDTH, 0.85 * lines + 0.3)
    grid = figure.subplots(lines, 2, squeeze=False, sharex=True, sharey=True)
    for axes in grid.ravel()[len(waves) :]:
        axes.axis("off")
    for axes, (name, raw, color) in zip(grid.T.ravel(), waves):  # noqa: B905 - one may be empty
        wave = np.frombuffer(raw, np.uint8).astype(int) - 128
        axes.plot(range(given), wave[:given], color=GREY, linewidth=0.7)
        axes.plot(range(given, len(wave)), wave[given:], color=color, linewidth=0.7)
        axes.set_title(name, size=8, loc="left", pad=2)
        axes.tick_params(labelsize=7)
    for axes in (grid[-1, 0], grid.T.ravel()[len(waves) - 1]):
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("sample (16,000 a second); grey: given", size=8)
    return figure
