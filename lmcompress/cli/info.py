"""The command `info`: shows what is in an .lmc file, without decoding it or loading its model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from lmcompress.cli.errors import FileErrors, shown
from lmcompress.cli.files import has_suffix, listed, recursive_option
from lmcompress.cli.info_table import table
from lmcompress.cli.options import files_or_stdin_argument, json_option
from lmcompress.cli.streams import open_input

if TYPE_CHECKING:
    from lmcompress.api.info import FileInfo, FrameInfo, SegmentInfo


@click.command(
    short_help="Show what is in FILE.lmc.", epilog="Example: lmcompress info book.txt.lmc --json"
)
@files_or_stdin_argument
@recursive_option
@click.option("--table", "as_table", is_flag=True, help="Print a table, even for a single FILE.")
@json_option
def info(files: tuple[str, ...], recursive: bool, as_table: bool, as_json: bool) -> int:
    """Show the header, segments, model, sizes and rates of FILE.lmc. With - as FILE, read stdin.

    Several FILEs are shown as a table, with their total. With --json, one FILE gives an object,
    several a list.

    Nothing is decoded, so damage in the compressed data goes unnoticed: `lmcompress test` finds it.
    """
    from lmcompress.api.info import info as describe

    errors, described = FileErrors(), []
    for file in listed(files, has_suffix, recursive, errors):
        with errors.reported(file), open_input(file) as source:
            described.append((file, describe(source)))
    are_many = recursive or len(files) > 1
    if as_json:
        rows = [{"name": file, **dataclasses.asdict(found)} for file, found in described]
        if rows or are_many:
            click.echo(json.dumps(rows if are_many else rows[0], indent=2))
    elif described:
        click.echo(table(described) if as_table or are_many else _text(*described[0]))
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
        name = shown(frame.model or "not named")
        yield "model", f"{name} ({_INSTALLED[frame.model_is_installed]})"
        yield "fingerprint", f"{frame.fingerprint}{rest}"
        yield "arithmetic version", str(frame.arithmetic_version)
    if frame.tokenizer:
        yield "tokenizer", shown(frame.tokenizer)
    yield "coder precision", f"{frame.precision_bits} bits"
    if frame.window:
        yield "context", f"windows of {frame.window} tokens, {frame.overlap} of them repeated"
    elif frame.window == 0:
        yield "context", "continuous, without windows"
    if frame.prompt_sha256:
        sha256 = f"SHA-256 {frame.prompt_sha256}{rest}"
        yield "prompt", f"{shown(frame.prompt)} ({sha256})" if frame.prompt else sha256
    yield "segments", f"{len(frame.segments):,}"


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"  {name:<19}{value}" for name, value in rows)


def _segments(segments: Iterable[SegmentInfo]) -> Iterator[str]:
    for number, segment in enumerate(segments, 1):
        if number == 1:
            yield f"    {'#':>4}  {'method':<9}{'raw bytes':>15}{'payload bytes':>15}{'lanes':>7}"
        yield (
            f"    {number:>4}  {segment.method:<9}{segment.raw_bytes:>15,}"
            f"{segment.payload_bytes:>15,}{segment.lanes or '-':>7}"
        )
