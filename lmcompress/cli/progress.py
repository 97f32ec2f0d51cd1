"""A progress bar and result lines on stderr, if it is a terminal."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterator

import click

_log = logging.getLogger(__name__)


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

    with (
        compiling_told(quiet=quiet),
        tqdm(
            desc=click.format_filename(label, shorten=True),
            total=total_bytes,
            unit="B",
            unit_scale=True,
            leave=False,
            file=sys.stderr,
            dynamic_ncols=True,
        ) as bar,
    ):
        yield bar.update


@contextlib.contextmanager
def compiling_told(*, quiet: bool) -> Iterator[None]:
    """Says so on a terminal if a kernel has to be compiled: the first run seems to hang otherwise.

    numba tells of an event each time that it finds no machine code in the cache.
    """
    if quiet or not is_stderr_terminal():
        yield
        return
    from numba.core import event

    class OnCompiling(event.Listener):
        def on_start(self, _event: object) -> None:
            _tell_once()

        def on_end(self, _event: object) -> None:
            pass

    with event.install_listener("numba:compile", OnCompiling()):
        yield


@functools.cache
def _tell_once() -> None:
    from tqdm import tqdm

    tqdm.write("compiling kernels for this machine, once: up to a minute", file=sys.stderr)


def say(line: str, *, quiet: bool) -> None:
    """Prints a result line to stderr, if it is a terminal or -v was given."""
    if not quiet and (is_stderr_terminal() or _log.isEnabledFor(logging.DEBUG)):
        click.echo(line, err=True)
