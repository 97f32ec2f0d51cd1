"""Arguments and options that several commands share, and the `CodecConfig` made from them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from lmcompress.cli.completion import complete_files, complete_models
from lmcompress.cli.streams import STANDARD, is_stdin_piped
from lmcompress.errors import LmcompressError
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.system.cpus import usable_cpus

if TYPE_CHECKING:
    from lmcompress.codec.config import CodecConfig
    from lmcompress.codec.prompt import Prompt

Command = TypeVar("Command", bound=Callable[..., Any])

_BYTE_COUNT = re.compile(r"(\d{1,18})([KMG]?)(?:iB|B)?", re.ASCII | re.IGNORECASE)


def byte_count(text: str) -> int:
    """Returns a number of bytes such as 65536, 64K or 16M; K, M and G are powers of 1024."""
    match = _BYTE_COUNT.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a number of bytes: write 65536, 64K or 16M")
    return int(match[1]) << (10 * " KMG".index(match[2].upper() or " "))


def lane_count(text: str) -> int | Literal["auto"]:
    """Returns a number of lanes, or "auto"."""
    if text == "auto":
        return "auto"
    if not text.isascii() or not text.isdigit():
        raise click.BadParameter(f"{text!r} is neither a number nor auto")
    return int(text)


def _named(_ctx: click.Context, _param: click.Parameter, files: tuple[str, ...]) -> tuple[str, ...]:
    if "" in files:
        raise click.UsageError("a FILE has an empty name: give a file name")
    return files


def _named_or_stdin(
    ctx: click.Context, param: click.Parameter, files: tuple[str, ...]
) -> tuple[str, ...]:
    if not files and not is_stdin_piped():
        raise click.MissingParameter(ctx=ctx, param=param)
    return _named(ctx, param, files) or (STANDARD,)


files_argument = click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", callback=_named,
    shell_complete=complete_files,
)  # fmt: skip
files_or_stdin_argument = click.argument(
    "files", nargs=-1, metavar="[FILE]...", callback=_named_or_stdin, shell_complete=complete_files
)


def _log_more(_ctx: click.Context, _param: click.Parameter, is_wanted: bool) -> None:
    if is_wanted:
        logging.getLogger("lmcompress").setLevel(logging.DEBUG)  # which `main` sets back


verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_log_more,
    help="Show more: results even when stderr is not a terminal, log messages, and tracebacks.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress, no result line.")
force_option = click.option("-f", "--force", is_flag=True, help="Overwrite existing files.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
model_option = click.option(
    "-m",
    "--model",
    metavar="MODEL",
    default=DEFAULT_MODEL,
    show_default=True,
    shell_complete=complete_models,
    help="A name from `lmcompress models`, or a model's folder.",
)
model_override_option = click.option(
    "-m",
    "--model",
    "model_override",
    metavar="MODEL",
    shell_complete=complete_models,
    help="Model that made the file, if it cannot be found automatically.",
)


def device_options(command: Command) -> Command:
    """Adds --device and --threads, which change the speed and, with --lanes fixed, never a bit."""
    for option in (
        click.option(
            "-T",
            "--threads",
            type=click.IntRange(min=0),
            metavar="N",
            help="CPU threads; 0 takes all cores.  [default: $OMP_NUM_THREADS, or all cores]",
        ),
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            show_default=True,
            help="Where the model runs; auto uses a GPU, if there is one, for large files.",
        ),
    ):
        command = option(command)
    return command


memory_limit_option = click.option(
    "--memory-limit",
    type=byte_count,
    metavar="N",
    help="Memory for segments that are coded at once, not counting the model's weights. Fewer are "
    "coded at once to stay within it; a segment that needs more alone is an error.  "
    "[default: 1536M]",
)


def size_options(command: Command) -> Command:
    """Adds what decides how large the file gets, and --memory-limit, which bounds it."""
    for option in (
        memory_limit_option,
        click.option(
            "--adaptive",
            type=click.Choice(["on", "off"]),
            default="on",
            show_default=True,
            help="Whether the adaptive stage, a context mixer that learns from the file as it "
            "goes, corrects the GPT.",
        ),
        click.option(
            "--segment-bytes",
            type=byte_count,
            metavar="N",
            help="Size of a segment, such as 64K or 16M (the default). Each decodes on its own; "
            "smaller ones take less memory and make a larger file.",
        ),
        click.option(
            "--lanes",
            type=lane_count,
            metavar="N|auto",
            help="Parts of a segment that the model reads in parallel: up to about 16 make reading "
            "faster, 1 makes the smallest file.  [default: auto]",
        ),
    ):
        command = option(command)
    return command


def prompt_option(command: Command) -> Command:
    """Adds --prompt and --prompt-cache."""
    for option in (
        click.option(
            "--prompt-cache",
            type=byte_count,
            metavar="N",
            help="Disk space for prompts already read, so that the next command with the same "
            "prompt starts sooner. 0 turns this cache off.  [default: 1G]",
        ),
        click.option(
            "--prompt",
            metavar="FILE",
            shell_complete=complete_files,
            help="A text that the model reads first, like a dictionary. Decompressing takes the "
            "same one again.",
        ),
    ):
        command = option(command)
    return command


def limit_options(command: Command) -> Command:
    """Adds --memory-limit and --output-limit."""
    output_limit_option = click.option(
        "--output-limit",
        type=byte_count,
        metavar="N",
        help="Refuse a FILE that decompresses to more bytes.  [default: any number]",
    )
    return memory_limit_option(output_limit_option(command))


sync_option = click.option(
    "--sync/--no-sync",
    default=True,
    show_default=True,
    help="Flush each file to the disk before it gets its name, so that a crash of the machine "
    "leaves a whole file or none.",
)
compact_option = click.option(
    "--compact",
    is_flag=True,
    help="For small files: a header of about 20 bytes, without the names of model and prompt.",
)


def read_prompt(path: str | None) -> Prompt | None:
    """Returns the prompt in a file; None if no file was given."""
    from lmcompress.codec.prompt import Prompt

    if path is None:
        return None
    if path in ("", STANDARD):
        found = "standard input" if path else "an empty name"
        raise click.UsageError(f"--prompt takes the name of a file, found {found}: name a file")
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
    prompt_cache: int | None = None,
    compact: bool = False,
    memory_limit: int | None = None,
    output_limit: int | None = None,
) -> CodecConfig:
    """Returns the configuration that the options ask for; raises UsageError if out of range."""
    from lmcompress.codec.config import CodecConfig

    threads = usable_cpus() if threads == 0 else threads
    given = {
        "lanes": lanes,
        "segment_bytes": segment_bytes,
        "prompt_cache": prompt_cache,
        "memory_limit": memory_limit,
        "output_limit": output_limit,
    }
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
