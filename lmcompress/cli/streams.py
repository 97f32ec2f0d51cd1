"""Where the command line reads from and writes to: files, devices, pipes, stdin, stdout."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from lmcompress.errors import LmcompressError
from lmcompress.system.atomic import replace_atomically

STANDARD = "-"
"""Names stdin as an input and stdout as an output."""


@contextlib.contextmanager
def open_input(name: str) -> Iterator[BinaryIO]:
    """Yields the bytes of a file, or of stdin."""
    if name == STANDARD:
        yield _binary(sys.stdin, "stdin")
        return
    with Path(name).open("rb") as source:
        yield source


def input_bytes(source: BinaryIO) -> int | None:
    """Returns the size of an input; None for a pipe or a device."""
    try:
        status = os.fstat(source.fileno())
    except OSError:  # not a file, but a buffer
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class FileState(NamedTuple):
    """What changes if a file is written to or replaced."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileState:
        """Returns the state in what the system says about a file."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def input_state(source: BinaryIO) -> FileState | None:
    """Returns the state of an open file; None for a pipe or a device."""
    return None if input_bytes(source) is None else FileState.of(os.fstat(source.fileno()))


def remove_input(name: str, state: FileState | None) -> None:
    """Removes a file whose output is complete, if it still is the one that was read.

    Raises:
      LmcompressError: If it is another one, or cannot be removed.
    """
    try:
        if FileState.of(os.stat(name)) != state:
            raise LmcompressError(
                "kept: it changed after it was read; the output has what was read"
            )
        os.remove(name)
    except OSError as exc:
        raise LmcompressError(
            f"cannot remove it: {exc.strerror or exc}; its output is complete"
        ) from exc


def is_stdin_piped() -> bool:
    """Whether stdin brings data, rather than being a terminal or closed."""
    return sys.stdin is not None and not sys.stdin.isatty()


@contextlib.contextmanager
def open_output(
    name: str, *, source: str, force: bool, sync: bool = True, unfinished: str | None = None
) -> Iterator[BinaryIO]:
    """Yields the output. A file appears only once it is complete, with the mode of `source`.

    With `sync`, it is on the disk then. Until then it has the name `unfinished`, if given, under
    which it stays if that does not come about.

    Raises:
      LmcompressError: If the file exists and `force` is not given, or is the input itself.
    """
    path, origin = Path(name), Path(source)
    if name == STANDARD:
        stdout = _binary(sys.stdout, "stdout")
        yield stdout
        stdout.flush()  # so that a full disk is an error of this file
    elif is_pipe_or_device(path):
        with path.open("wb") as output:
            yield output
    else:
        if source != STANDARD and path.exists() and path.samefile(origin):
            raise LmcompressError(f"{path} is the input: give another name with -o")
        mode_from = origin if source != STANDARD and origin.is_file() else None
        rest = Path(unfinished) if unfinished else None
        with replace_atomically(
            path, overwrite=force, mode_from=mode_from, sync=sync, unfinished=rest
        ) as output:
            yield output


def refuse_terminal(output: BinaryIO, *, force: bool) -> None:
    """Raises LmcompressError if compressed bytes would go to a terminal."""
    if output.isatty() and not force:
        raise LmcompressError(
            "compressed bytes would go to a terminal: redirect them, give -o FILE, or pass -f"
        )


def is_pipe_or_device(path: Path) -> bool:
    """Whether an output is written to as it is, and not replaced by a new file."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _binary(stream: TextIO | None, name: str) -> BinaryIO:
    if stream is None:  # the program was started with it closed
        raise LmcompressError(f"{name} is closed: open it, or name a file")
    return stream.buffer
