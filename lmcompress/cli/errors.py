"""How the command line reports errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import click

from lmcompress.errors import LmcompressError

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
    text = " ".join(text.split())
    return text if about is None else f"{click.format_filename(about)}: {text}"


def for_each(names: Iterable[str], action: Callable[[str], None]) -> int:
    """Calls `action` with each name, continues after errors, and returns the exit code."""
    code = 0
    for name in names:
        try:
            action(name)
        except BrokenPipeError:  # nobody reads the output any more
            raise
        except Exception as exc:
            if not is_user_error(exc):
                raise
            _log.debug("traceback:", exc_info=exc)
            click.echo(f"lmcompress: {error_line(exc, name)}", err=True)
            code = 1
    return code
