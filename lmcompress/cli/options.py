"""Options that several commands share, and the configuration they make."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from lmcompress.errors import LmcompressError
from lmcompress.models.store import DEFAULT_MODEL

if TYPE_CHECKING:
    from lmcompress.codec.config import CodecConfig
    from lmcompress.codec.prompt import Prompt

Command = TypeVar("Command", bound=Callable[..., Any])


_BYTE_COUNT = re.compile(r"(\d{1,18})([KMG]?)(?:iB|B)?", re.ASCII | re.IGNORECASE)


def byte_count(text: str) -> int:
    """Returns a number of bytes such as 65536, 64K or 16M; K, M and G are powers of 1024."""
    match = _BYTE_COUNT.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no number of bytes: write 65536, 64K or 16M")
    return int(match[1]) << (10 * " KMG".index(match[2].upper() or " "))


def lane_count(text: str) -> int | Literal["auto"]:
    """Returns a number of lanes, or "auto"."""
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit():
        raise click.BadParameter(f"{text!r} is neither a number nor auto")
    return int(text)


files_argument = click.argument("files", nargs=-1, required=True, metavar="FILE...")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress, no result line.")
force_option = click.option("-f", "--force", is_flag=True, help="Overwrite files that exist.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
model_option = click.option(
    "-m",
    "--model",
    metavar="MODEL",
    default=DEFAULT_MODEL,
    show_default=True,
    help="A name from `lmcompress models`, or a checkpoint's folder.",
)
maker_option = click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="Folder of the model that made the file, if it is not found without.",
)


def device_options(command: Command) -> Command:
    """Adds --device and --threads, which for given lanes change speed and never a bit."""
    for option in (
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            metavar="N",
            help="CPU threads; all cores if not given.",
        ),
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="Where the model runs; for given --lanes the file is the same.",
        ),
    ):
        command = option(command)
    return command


def layout_options(command: Command) -> Command:
    """Adds --lanes, --segment-bytes and --adaptive."""
    for option in (
        click.option(
            "--adaptive",
            type=click.Choice(["on", "off"]),
            default="on",
            show_default=True,
            help="Whether models that learn from the file itself join the GPT.",
        ),
        click.option(
            "--segment-bytes",
            type=byte_count,
            metavar="N",
            help="Bytes that decode on their own, such as 64K or 16M (the default): fewer give "
            "quicker access to a part, and a larger file.",
        ),
        click.option(
            "--lanes",
            type=lane_count,
            metavar="N|auto",
            help="Parts that the model reads side by side: more are faster, 1 is the smallest "
            "file.  [default: auto]",
        ),
    ):
        command = option(command)
    return command


prompt_option = click.option(
    "--prompt",
    metavar="FILE",
    help="A text to read first, as a dictionary; decompress needs it too.",
)


compact_option = click.option(
    "--compact",
    is_flag=True,
    help="For small files: a header of some 20 bytes, without names of model and prompt.",
)


def read_prompt(path: str | None) -> Prompt | None:
    """Returns the file's text and name, if one was given."""
    from lmcompress.codec.prompt import Prompt

    if path is None:
        return None
    try:
        name = "".join(c if c.isprintable() else "?" for c in Path(path).name)
        return Prompt(Path(path).read_bytes(), name)
    except ValueError as exc:
        raise LmcompressError(f"{path}: {exc}") from exc


def codec_config(
    device: str,
    threads: int | None,
    lanes: Any = None,
    segment_bytes: int | None = None,
    adaptive: str = "on",
    prompt: str | None = None,
    compact: bool = False,
) -> CodecConfig:
    """Returns the configuration that the options ask for; out of range is wrong usage."""
    from lmcompress.codec.config import CodecConfig

    given = {"lanes": lanes, "segment_bytes": segment_bytes}
    try:
        return CodecConfig(
            device=device,
            threads=threads,
            adaptive=adaptive == "on",
            prompt=read_prompt(prompt),
            compact=compact,
            **{name: value for name, value in given.items() if value is not None},
        )
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
