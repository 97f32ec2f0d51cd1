"""The commands that work like zstd's: compress, decompress, test."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from lmcompress.cli.errors import FileErrors
from lmcompress.cli.options import (
    codec_config,
    compact_option,
    device_options,
    files_argument,
    force_option,
    model_option,
    model_override_option,
    prompt_option,
    quiet_option,
    size_options,
)
from lmcompress.cli.progress import byte_progress, is_stderr_terminal, say
from lmcompress.cli.streams import (
    STANDARD,
    input_bytes,
    input_state,
    open_input,
    open_output,
    refuse_terminal,
)
from lmcompress.errors import LmcompressError
from lmcompress.metrics import bits_per_byte

if TYPE_CHECKING:
    from lmcompress.codec.config import CodecConfig

SUFFIX = ".lmc"

_output_option = click.option(
    "-o", "--output", metavar="OUT", help="Output file; - is stdout. Only with a single FILE."
)
_stdout_option = click.option(
    "-c", "--stdout", "to_stdout", is_flag=True, help="Write everything to stdout, in order."
)


@click.command(
    short_help="Compress FILE to FILE.lmc.",
    epilog="Example: lmcompress compress book.txt # writes book.txt.lmc",
)
@files_argument
@_output_option
@model_option
@size_options
@prompt_option
@compact_option
@device_options
@_stdout_option
@force_option
@quiet_option
def compress(
    files: tuple[str, ...], output: str | None, model: str, to_stdout: bool, force: bool,
    quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Compress each FILE to FILE.lmc and keep FILE. With - as FILE, read stdin and write stdout.

    --threads never changes the output, and --device does not either once --lanes is given.
    """
    from lmcompress.models.store import check_model

    _check_output(files, output, to_stdout)
    config = codec_config(**options)
    check_model(model)  # one error, not one per file
    errors = FileErrors()
    for name in files:
        with errors.reported(name):
            to_stream = to_stdout or name == STANDARD
            target = output or (STANDARD if to_stream else name + SUFFIX)
            _compress(name, target, model, config, force=force, quiet=quiet)
    return errors.exit_code


def _compress(
    name: str, target: str, model: str, config: CodecConfig, *, force: bool, quiet: bool
) -> None:
    from lmcompress.codec.stream import compress_stream
    from lmcompress.models.store import load_model

    with open_input(name) as source, open_output(target, source=name, force=force) as sink:
        refuse_terminal(sink, force=force)
        loaded = load_model(model)  # takes a second: only after the checks above
        before = input_state(source)
        with byte_progress(name, input_bytes(source), quiet=quiet) as progress:
            sizes = compress_stream(source, sink, loaded, config, progress)
        has_changed = input_state(source) != before
    if has_changed:
        raise LmcompressError(
            "the file changed while it was read, so the output may hold a mixture of old and new: "
            "compress it again"
        )
    rate = f", {bits_per_byte(sizes.compressed_bytes, sizes.raw_bytes):.3f} bits per byte"
    say(
        f"{click.format_filename(name)}: {sizes.raw_bytes} -> {sizes.compressed_bytes} bytes"
        f"{rate if sizes.raw_bytes else ''}",
        quiet=quiet,
    )


@click.command(
    short_help="Decompress FILE.lmc to FILE.",
    epilog="Example: lmcompress decompress book.txt.lmc # writes book.txt",
)
@files_argument
@_output_option
@model_override_option
@prompt_option
@device_options
@_stdout_option
@force_option
@quiet_option
def decompress(
    files: tuple[str, ...], output: str | None, model_override: str | None, to_stdout: bool,
    force: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Decompress each FILE.lmc to FILE and keep FILE.lmc. With -, read stdin and write stdout.

    The file holds all settings: no option of `compress` has to be repeated, except --prompt.
    """
    _check_output(files, output, to_stdout)
    config = codec_config(**options)
    errors = FileErrors()
    for name in files:
        with errors.reported(name):
            to_stream = to_stdout or name == STANDARD
            target = output or (STANDARD if to_stream else _without_suffix(name))
            with open_input(name) as source, open_output(target, source=name, force=force) as sink:
                _decompress(name, source, sink, config, model_override, quiet=quiet)
    return errors.exit_code


@click.command(
    short_help="Check that FILE.lmc decompresses.",
    epilog="Example: lmcompress test book.txt.lmc && echo intact",
)
@files_argument
@model_override_option
@prompt_option
@device_options
@quiet_option
def test(files: tuple[str, ...], model_override: str | None, quiet: bool, **options: Any) -> int:
    """Decompress each FILE.lmc and check it, without writing anything."""
    config = codec_config(**options)
    errors = FileErrors()
    for name in files:
        with errors.reported(name), open_input(name) as source:
            _decompress(name, source, _Discard(), config, model_override, quiet=quiet)
    return errors.exit_code


def _decompress(
    name: str, source: BinaryIO, sink: BinaryIO, config: CodecConfig, model_override: str | None,
    *, quiet: bool,
) -> None:  # fmt: skip
    from lmcompress.codec.stream import decompress_stream

    total = None if quiet or not is_stderr_terminal() else _declared_raw_bytes(source)
    with byte_progress(name, total, quiet=quiet) as progress:
        raw_bytes = decompress_stream(source, sink, config, model_override, progress)
    say(f"{click.format_filename(name)}: {raw_bytes} bytes, checked", quiet=quiet)


def _declared_raw_bytes(source: BinaryIO) -> int | None:
    """Returns the raw size that a file declares; None for a pipe or a damaged file."""
    from lmcompress.format.file import read_frames

    if input_bytes(source) is None:
        return None
    start = source.tell()
    try:
        frames = read_frames(source, skip_payloads=True)
        return sum(segment.raw_bytes for reader in frames for segment, _ in reader)
    except LmcompressError:
        return None  # decompressing it will report the damage
    finally:
        source.seek(start)


class _Discard(io.BytesIO):
    """Discards what is written to it."""

    def write(self, data: Any, /) -> int:
        return len(data)


def _check_output(files: Sequence[str], output: str | None, to_stdout: bool) -> None:
    """Raises UsageError for an -o that makes no sense."""
    if output == "":
        raise click.UsageError("-o has an empty name: give a file name")
    if output and to_stdout:
        raise click.UsageError("-o and -c exclude each other: give one of them")
    if output and len(files) > 1:
        raise click.UsageError("-o takes a single FILE: use -c to write several into one stream")


def _without_suffix(name: str) -> str:
    stem = Path(name).name[: -len(SUFFIX)]
    if not stem or not name.lower().endswith(SUFFIX):
        raise LmcompressError(f"the name does not end in {SUFFIX}: say where to write with -o OUT")
    return name[: -len(SUFFIX)]
