"""The pictures of Figure 3: text as a panel, image patches as a grid, speech as waveforms."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.support.figures import BLUE, GREY, new_figure
from experiments.support.modalities import PATCH_COLUMNS, PATCH_ROWS
from experiments.support.records import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEXT_SHOWN = 160
"""Bytes of the given text that the panel repeats."""
_LINE = 88
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
    figure = new_figure(10.5, 0.24 * len(lines) + 0.3)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(len(lines), -0.5))
    axes.axis("off")
    for i, (name, part, color) in enumerate(lines):
        axes.text(0.25, i, name, ha="right", va="center", size=8, weight="bold")
        axes.text(0.265, i, part, va="center", size=8, family="monospace", color=color)
    return figure


def draw_images(rows: Sequence[Row]) -> Figure:
    """Returns a row for each patch, a column for each source."""
    rows = _of(rows, "images")
    items = sorted({row["item"] for row in rows})
    names = list(dict.fromkeys(row["source"] for row in rows))
    figure = new_figure(1.9 * (2 + len(names)), 1.15 * len(items) + 0.35)
    grid = figure.subplots(len(items), 2 + len(names), squeeze=False)
    for line, item in zip(grid, items, strict=True):
        of_item = {row["source"]: row for row in rows if row["item"] == item}
        piece = _patch(_bytes(next(iter(of_item.values())), "piece"))
        given = piece.astype(float)
        given[:, PATCH_COLUMNS // 2 :] = np.nan
        shown = [piece, given, *(_patch(_bytes(of_item[name], "made")) for name in names)]
        for axes, patch in zip(line, shown, strict=True):
            axes.imshow(patch, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.axvline(PATCH_COLUMNS / 2 - 0.5, color=BLUE, linewidth=0.6)
    for axes, name in zip(grid[0], ["original", "given", *names], strict=True):
        axes.set_title("\n".join(textwrap.wrap(name, 22)), size=8)
    return figure


def _patch(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, np.uint8).reshape(PATCH_ROWS, PATCH_COLUMNS)


def draw_speech(rows: Sequence[Row]) -> Figure:
    """Returns a waveform for each source, what was given in grey."""
    rows = _of(rows, "speech")
    items = sorted({row["item"] for row in rows})
    names = list(dict.fromkeys(row["source"] for row in rows))
    figure = new_figure(5.2 * len(items), 0.95 * (1 + len(names)) + 0.3)
    grid = figure.subplots(1 + len(names), len(items), squeeze=False, sharex=True, sharey="col")
    for column, item in enumerate(items):
        of_item = {row["source"]: row for row in rows if row["item"] == item}
        first = next(iter(of_item.values()))
        given = first["raw_bytes"] - first["drawn_bytes"]
        waves = [(_TRUE, _bytes(first, "piece"), "black")]
        waves += [(name, _bytes(of_item[name], "made"), BLUE) for name in names]
        for axes, (name, raw, color) in zip(grid[:, column], waves, strict=True):
            wave = np.frombuffer(raw, np.uint8).astype(int) - 128
            axes.plot(range(given), wave[:given], color=GREY, linewidth=0.7)
            axes.plot(range(given, len(wave)), wave[given:], color=color, linewidth=0.7)
            axes.set_title(name, size=8, loc="left", pad=2)
            axes.tick_params(labelsize=7)
        grid[-1, column].set_xlabel("sample (16,000 a second); grey: given", size=8)
    return figure
