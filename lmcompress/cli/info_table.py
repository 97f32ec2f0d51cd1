"""The table that `info` prints of several files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from lmcompress.cli.errors import shown
from lmcompress.metrics import bits_per_byte, raw_compression_rate

if TYPE_CHECKING:
    from lmcompress.api.info import FileInfo

_HEADER = (
    "frames", "segments", "compressed", "raw", "raw rate", "bits per byte", "model", "name",
)  # fmt: skip
_LEFT = ("model", "name")


def table(files: Sequence[tuple[str, FileInfo]]) -> str:
    """Returns a line for each name and file and, if there are several, one for all of them."""
    lines = [_HEADER, *(_line(click.format_filename(name), [file]) for name, file in files)]
    if len(files) > 1:
        lines.append(_line(f"total of {len(files)} files", [file for _, file in files]))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in _LEFT else cell.rjust(width)
            for cell, width, column in zip(line, widths, _HEADER, strict=True)
        ).rstrip()
        for line in lines
    )


def _line(name: str, files: Sequence[FileInfo]) -> tuple[str, ...]:
    frames = [frame for file in files for frame in file.frames]
    compressed, raw = (sum(getattr(f, f"{n}_bytes") for f in files) for n in ("compressed", "raw"))
    models = dict.fromkeys(shown(frame.model or "not named") for frame in frames)
    return (
        f"{len(frames):,}",
        f"{sum(len(frame.segments) for frame in frames):,}",
        f"{compressed:,}",
        f"{raw:,}",
        f"{raw_compression_rate(compressed, raw):.4f}" if raw else "-",
        f"{bits_per_byte(compressed, raw):.3f}" if raw else "-",
        ",".join(models),
        name,
    )
