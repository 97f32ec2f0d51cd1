"""The option --resume: what a stopped compression has finished is kept, and continued."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import click

from lmcompress.cli.files import Destination, Job
from lmcompress.cli.streams import STANDARD, input_bytes
from lmcompress.errors import LmcompressError

if TYPE_CHECKING:
    from lmcompress.codec.config import CodecConfig

resume_option = click.option(
    "--resume",
    is_flag=True,
    help="Keep what is finished in FILE.lmc.KEY.unfinished if the command is stopped, and go on "
    "from there when it is given again.",
)
_SUFFIX = ".unfinished"


def check_resume(files: Sequence[str], destination: Destination, config: CodecConfig) -> None:
    """Raises UsageError if something of it cannot be resumed."""
    if STANDARD in files or destination.to_stdout or destination.output == STANDARD:
        raise click.UsageError("--resume needs files, not stdin or stdout")
    if config.compact:
        raise click.UsageError("--resume and --compact exclude each other: that is one segment")


def unfinished_name(job: Job, source: BinaryIO, model: str, config: CodecConfig) -> str:
    """Returns the name of what may be finished already; it changes with input, model and options.

    Raises:
      LmcompressError: If the input is a pipe, or there is an unfinished file of another key.
    """
    from lmcompress.codec.resume import KEY_DIGITS, resume_key
    from lmcompress.models.store import load_model

    if input_bytes(source) is None:
        raise LmcompressError("--resume needs a regular file as input")
    name = f"{job.target}.{resume_key(source, load_model(model), config)}{_SUFFIX}"
    for other in glob.glob(f"{glob.escape(job.target)}.{'[0-9a-f]' * KEY_DIGITS}{_SUFFIX}"):
        if other != name:
            raise LmcompressError(
                f"found {other}, of another input, model or options: remove it, or compress what "
                "it was begun with"
            )
    return name
