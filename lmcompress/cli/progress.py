"""A progress bar and result lines on stderr, if it is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import click


def is_stderr_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextlib.contextmanager
def byte_progress(
    label: str, total_bytes: int | None, *, quiet: bool
) -> Iterator[Callable[[int], None] | None]:
    """Yields a function that takes the bytes done since the last call; None if no bar is shown."""
    if quiet or not is_stderr_terminal():
        yield None
        return
    from tqdm import tqdm

    with tqdm(
        desc=click.format_filename(label, shorten=True),
        total=total_bytes,
        unit="B",
        unit_scale=True,
        leave=False,
        file=sys.stderr,
        dynamic_ncols=True,
    ) as bar:
        yield bar.update


def say(line: str, *, quiet: bool) -> None:
    """Prints a result line to stderr, if it is a terminal."""
    if not quiet and is_stderr_terminal():
        click.echo(line, err=True)
