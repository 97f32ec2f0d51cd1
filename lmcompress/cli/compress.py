"""The command `compress`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lmcompress.cli.cluster import audit_option, compress_with, share_segments_option
from lmcompress.cli.errors import FileErrors
from lmcompress.cli.files import SUFFIX, Destination, Job, has_suffix, output_options
from lmcompress.cli.levels import apply_level, level_option
from lmcompress.cli.options import (
    codec_config,
    compact_option,
    device_options,
    files_or_stdin_argument,
    force_option,
    model_option,
    prompt_option,
    quiet_option,
    size_options,
    sync_option,
)
from lmcompress.cli.progress import byte_progress, say
from lmcompress.cli.resume import check_resume, resume_option, unfinished_name
from lmcompress.cli.streams import (
    FileState,
    input_bytes,
    input_state,
    open_input,
    open_output,
    refuse_terminal,
    remove_input,
)
from lmcompress.errors import LmcompressError
from lmcompress.metrics import bits_per_byte

if TYPE_CHECKING:
    from lmcompress.codec.config import CodecConfig
    from lmcompress.codec.stream import Sizes


@click.command(
    short_help="Compress FILE to FILE.lmc.",
    epilog="Example: lmcompress compress book.txt # writes book.txt.lmc",
)
@files_or_stdin_argument
@output_options
@level_option
@model_option
@size_options
@prompt_option
@compact_option
@device_options
@resume_option
@share_segments_option
@audit_option
@force_option
@sync_option
@quiet_option
def compress(
    files: tuple[str, ...], output: str | None, to_stdout: bool, remove: bool, recursive: bool,
    level: int | None, model: str, resume: bool, cluster: str | None, audit: float, force: bool,
    sync: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Compress each FILE to FILE.lmc, and keep FILE unless --rm is given.

    With - as FILE, or without a FILE if stdin is not a terminal, read stdin and write stdout. A
    FILE that already ends in .lmc is skipped, with exit code 1, unless -f is given; with -r, such
    files are left out. --threads never changes the output, and --device does not either once
    --lanes is given.
    """
    from lmcompress.models.store import check_model

    destination = Destination(output, to_stdout, remove, recursive)
    destination.check(files)
    if level is not None:
        model = apply_level(level, model, options)
    config = codec_config(**options)
    if resume:
        check_resume(files, destination, config)
    check_model(model)  # one error, not one per file
    write = compress_with(cluster, audit, resume)  # imports what is slow: only after the checks
    errors = FileErrors()
    for job in destination.jobs(files, _with_suffix, _is_not_compressed, errors):
        with errors.reported(job.name):
            if has_suffix(job.name) and not force:
                raise LmcompressError(f"already ends in {SUFFIX}: skipped; -f compresses it again")
            destination.make_room(job)
            flags = {"force": force, "resume": resume, "sync": sync, "quiet": quiet}
            state = _compress(job, model, config, write, **flags)
            if remove:
                remove_input(job.name, state)
    return errors.exit_code


def _with_suffix(name: str) -> str:
    return name + SUFFIX


def _is_not_compressed(name: str) -> bool:
    return not has_suffix(name)


def _compress(
    job: Job, model: str, config: CodecConfig, write: Callable[..., Sizes], *, force: bool,
    resume: bool, sync: bool, quiet: bool,
) -> FileState | None:  # fmt: skip
    """Compresses a file; returns the state in which it was read."""
    from lmcompress.models.store import load_model

    name = job.name
    with open_input(name) as source:
        before = input_state(source)
        unfinished = unfinished_name(job, source, model, config) if resume else None
        with open_output(
            job.target, source=name, force=force, sync=sync, unfinished=unfinished
        ) as sink:
            refuse_terminal(sink, force=force)
            loaded = load_model(model)  # takes a second: only after the checks above
            with byte_progress(name, input_bytes(source), quiet=quiet) as progress:
                sizes = write(source, sink, loaded, config, progress)
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
    return before
