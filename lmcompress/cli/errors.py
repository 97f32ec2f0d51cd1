"""How the command line reports errors."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import click

from lmcompress.errors import LmcompressError

EXIT_INCOMPLETE = 3
"""What could be salvaged was written, and something is missing."""

_log = logging.getLogger(__name__)


def is_user_error(exc: BaseException) -> bool:
    """Whether the input or the machine is to blame, so that one line is enough."""
    return isinstance(exc, (LmcompressError, OSError, MemoryError, ValueError)) or _is_torch_oom(
        exc
    )


def _is_torch_oom(exc: BaseException) -> bool:
    # torch has a class for CUDA only; on the CPU it is a plain RuntimeError.
    return isinstance(exc, RuntimeError) and (
        type(exc).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(exc)
    )


def error_line(exc: BaseException, about: str | None = None) -> str:
    """Returns one line that describes an error and names, once, the file that it is about."""
    if isinstance(exc, MemoryError) or _is_torch_oom(exc):
        text = "not enough memory: use smaller --segment-bytes, fewer --lanes or a smaller model"
    elif isinstance(exc, OSError) and exc.strerror:
        text = exc.strerror
        if exc.filename is not None and str(exc.filename) != about:
            text = f"{exc.filename}: {text}"
    else:
        text = str(exc) or type(exc).__name__
    text = shown(" ".join(text.split()))
    return text if about is None else f"{click.format_filename(about)}: {text}"


def shown(text: str) -> str:
    """Returns text from a file with characters escaped that a terminal hides or obeys."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class FileErrors:
    """Reports what goes wrong with one file and lets the command go on with the next."""

    def __init__(self) -> None:
        self.exit_code = 0

    def lost(self, name: str, what: str) -> None:
        """Reports what an output lacks; leads to an exit code of its own."""
        click.echo(f"lmcompress: {click.format_filename(name)}: {what}", err=True)
        self.exit_code = self.exit_code or EXIT_INCOMPLETE

    @contextlib.contextmanager
    def reported(self, name: str) -> Iterator[None]:
        """Turns an error in the block into a line on stderr, and into exit code 1 at the end."""
        try:
            yield
        except BrokenPipeError:  # nobody reads the output any more
            raise
        except Exception as exc:
            if not is_user_error(exc):
                raise
            _log.debug("traceback:", exc_info=exc)
            click.echo(f"lmcompress: {error_line(exc, name)}", err=True)
            self.exit_code = 1
