"""The commands `decompress` and `test`."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from lmcompress.cli.cluster import decompress_with, share_segments_option
from lmcompress.cli.errors import FileErrors
from lmcompress.cli.files import (
    SUFFIX,
    Destination,
    has_suffix,
    listed,
    output_options,
    recursive_option,
)
from lmcompress.cli.options import (
    codec_config,
    device_options,
    files_or_stdin_argument,
    force_option,
    limit_options,
    model_override_option,
    prompt_option,
    quiet_option,
    sync_option,
)
from lmcompress.cli.parts import ByteRange, Decompress, decompress_of, part_options
from lmcompress.cli.progress import byte_progress, is_stderr_terminal, say
from lmcompress.cli.streams import (
    STANDARD,
    input_bytes,
    input_state,
    open_input,
    open_output,
    remove_input,
)
from lmcompress.errors import LmcompressError

if TYPE_CHECKING:
    from lmcompress.codec.config import CodecConfig


@click.command(
    short_help="Decompress FILE.lmc to FILE.",
    epilog="Example: lmcompress decompress book.txt.lmc # writes book.txt",
)
@files_or_stdin_argument
@output_options
@model_override_option
@prompt_option
@device_options
@limit_options
@part_options
@share_segments_option
@force_option
@sync_option
@quiet_option
def decompress(
    files: tuple[str, ...], output: str | None, to_stdout: bool, remove: bool, recursive: bool,
    model_override: str | None, part: ByteRange | None, salvage: bool, cluster: str | None,
    force: bool, sync: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Decompress each FILE.lmc to FILE, and keep FILE.lmc unless --rm is given.

    With - as FILE, or without a FILE if stdin is not a terminal, read stdin and write stdout. The
    file holds all settings: no option of `compress` has to be repeated, except --prompt.
    """
    destination = Destination(output, to_stdout, remove, recursive)
    destination.check(files)
    losses: list[str] = []
    write = decompress_of(part, salvage, destination, losses)
    if cluster is not None and (part is not None or salvage):
        raise click.UsageError(
            "--cluster decompresses whole files: leave out --range and --salvage"
        )
    write = decompress_with(cluster, write)
    config = codec_config(**options)
    errors = FileErrors()
    for job in destination.jobs(files, _without_suffix, has_suffix, errors):
        with errors.reported(job.name):
            destination.make_room(job)
            with (
                open_input(job.name) as source,
                open_output(job.target, source=job.name, force=force, sync=sync) as sink,
            ):
                state = input_state(source)
                found = _decompress(
                    job.name, source, sink, config, model_override, write, quiet=quiet
                )
            where = "" if job.target == STANDARD else f", in {click.format_filename(job.target)}"
            say(f"{found}{where}", quiet=quiet)
            if remove:
                remove_input(job.name, state)
        while losses:
            errors.lost(job.name, losses.pop(0))
    return errors.exit_code


@click.command(
    short_help="Check that FILE.lmc decompresses.",
    epilog="Example: lmcompress test book.txt.lmc && echo intact",
)
@files_or_stdin_argument
@recursive_option
@model_override_option
@prompt_option
@device_options
@limit_options
@share_segments_option
@quiet_option
def test(
    files: tuple[str, ...], recursive: bool, model_override: str | None, cluster: str | None,
    quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Decompress each FILE.lmc and check it, without writing anything."""
    from lmcompress.codec.stream import decompress_stream

    config = codec_config(**options)
    errors = FileErrors()
    for name in listed(files, has_suffix, recursive, errors):
        with errors.reported(name), open_input(name) as source:
            write, sink = decompress_with(cluster, decompress_stream), _Discard()
            found = _decompress(name, source, sink, config, model_override, write, quiet=quiet)
            say(found, quiet=quiet)
    return errors.exit_code


def _decompress(
    name: str, source: BinaryIO, sink: BinaryIO, config: CodecConfig, model_override: str | None,
    write: Decompress, *, quiet: bool,
) -> str:  # fmt: skip
    """Returns what there is to say of a file that was decompressed and checked."""
    total = None if quiet or not is_stderr_terminal() else _declared_raw_bytes(source)
    with byte_progress(name, total, quiet=quiet) as progress:
        raw_bytes = write(source, sink, config, model_override, progress)
    return f"{click.format_filename(name)}: {raw_bytes} bytes, checked"


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


def _without_suffix(name: str) -> str:
    if not has_suffix(name):
        raise LmcompressError(f"the name does not end in {SUFFIX}: say where to write with -o OUT")
    if len(os.path.basename(name)) == len(SUFFIX):
        raise LmcompressError(f"nothing is left without {SUFFIX}: say where to write with -o OUT")
    return name[: -len(SUFFIX)]
