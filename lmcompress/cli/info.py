"""The command `info`: shows what is in an .lmc file, without decoding it or loading its model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from lmcompress.cli.errors import FileErrors
from lmcompress.cli.options import json_option
from lmcompress.cli.streams import open_input

if TYPE_CHECKING:
    from lmcompress.api.info import FileInfo, FrameInfo, SegmentInfo


@click.command(
    short_help="Show what is in FILE.lmc.", epilog="Example: lmcompress info book.txt.lmc --json"
)
@click.argument("file")
@json_option
def info(file: str, as_json: bool) -> int:
    """Show the header, segments, model, sizes and rates of FILE.lmc. With - as FILE, read stdin.

    Nothing is decoded, so damage in the compressed data goes unnoticed: `lmcompress test` finds it.
    """
    from lmcompress.api.info import info as describe

    errors = FileErrors()
    with errors.reported(file):
        with open_input(file) as source:
            described = describe(source)
        row = {"name": file, **dataclasses.asdict(described)}
        click.echo(json.dumps(row, indent=2) if as_json else _text(file, described))
    return errors.exit_code


_INSTALLED = {
    True: "installed",
    False: "not installed: the file cannot be decompressed here",
    None: "possibly installed: a local model's fingerprint is only known after loading it",
}


def _text(name: str, file: FileInfo) -> str:
    lines = [click.format_filename(name), *_table(_summary(file))]
    for number, frame in enumerate(file.frames, 1):
        if len(file.frames) > 1:
            lines.append(f"frame {number}")
        lines += [*_table(_header(frame)), *_segments(frame.segments)]
    return "\n".join(lines)


def _summary(file: FileInfo) -> Iterator[tuple[str, str]]:
    yield "raw bytes", f"{file.raw_bytes:,}"
    yield "compressed bytes", f"{file.compressed_bytes:,} (payload {file.payload_bytes:,})"
    if file.bits_per_byte is not None:
        yield "bits per byte", f"{file.bits_per_byte:.3f}"
    if file.raw_compression_rate is not None:
        yield "raw rate", f"{file.raw_compression_rate:.4f}"
    if file.adjusted_compression_rate is not None:
        yield "adjusted rate", f"{file.adjusted_compression_rate:.4f} (with the model's bytes)"


def _header(frame: FrameInfo) -> Iterator[tuple[str, str]]:
    is_compact = frame.kind == "compact"
    rest = "..." if is_compact else ""  # a compact frame holds the beginning of each hash
    yield "format version", f"{frame.format_version}{', compact' if is_compact else ''}"
    if frame.fingerprint:
        name = _shown(frame.model or "not named")
        yield "model", f"{name} ({_INSTALLED[frame.model_is_installed]})"
        yield "fingerprint", f"{frame.fingerprint}{rest}"
        yield "arithmetic version", str(frame.arithmetic_version)
    if frame.tokenizer:
        yield "tokenizer", _shown(frame.tokenizer)
    yield "coder precision", f"{frame.precision_bits} bits"
    if frame.window:
        yield "context", f"windows of {frame.window} tokens, {frame.overlap} of them repeated"
    elif frame.window == 0:
        yield "context", "continuous, without windows"
    if frame.prompt_sha256:
        sha256 = f"SHA-256 {frame.prompt_sha256}{rest}"
        yield "prompt", f"{_shown(frame.prompt)} ({sha256})" if frame.prompt else sha256
    yield "segments", f"{len(frame.segments):,}"


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"  {name:<19}{value}" for name, value in rows)


def _segments(segments: Iterable[SegmentInfo]) -> Iterator[str]:
    for number, segment in enumerate(segments, 1):
        if number == 1:
            yield f"    {'#':>4}  {'method':<7}{'raw bytes':>15}{'payload bytes':>15}{'lanes':>7}"
        yield (
            f"    {number:>4}  {segment.method:<7}{segment.raw_bytes:>15,}"
            f"{segment.payload_bytes:>15,}{segment.lanes or '-':>7}"
        )


def _shown(name: str) -> str:
    """Returns a name from a header, with characters escaped that a terminal hides or obeys."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
