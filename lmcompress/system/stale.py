"""Temporary files and folders, and removing those that a killed process left.

They are told from those of live processes by a lock, which ends with the process that holds it.
On systems without such locks (Windows, some network file systems), nothing is removed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_NAME = re.compile(r"\.lmc-[0-9a-f]{16}\.tmp")
_MIN_AGE_SECONDS = 60
"""A writer creates its file and then locks it: what is younger may be in between."""


def temporary_name() -> str:
    """Returns a new name for a temporary file or folder, of the kind that is cleaned up."""
    return f".lmc-{secrets.token_hex(8)}.tmp"


@contextlib.contextmanager
def held(descriptor: int) -> Iterator[None]:
    """Holds a lock on an open file or folder, even if it is closed before the block ends.

    On systems without file locks, this does nothing.

    Raises:
      BlockingIOError: If another process holds one.
    """
    if sys.platform == "win32":
        yield
        return
    kept = os.dup(descriptor)  # the lock ends once both are closed
    try:
        try:
            fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        with contextlib.suppress(OSError):  # what was written is reported by the file's own close
            os.close(kept)


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yields a new folder, removed at the end, or by the next run if this one is killed."""
    clean_up(parent)
    folder = parent / temporary_name()
    folder.mkdir()
    try:
        with _held_folder(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _held_folder(folder: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with held(descriptor):
            yield
    finally:
        os.close(descriptor)


@functools.cache
def clean_up(folder: Path) -> None:
    """Removes what killed processes left in a folder; looks into each folder only once."""
    remove_stale(folder)


def remove_stale(folder: Path) -> None:
    """Removes temporary files and folders of ours that no process holds; ignores all errors."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_if_stale(Path(entry.path))


def _remove_if_stale(path: Path) -> None:
    if sys.platform == "win32":
        return
    status = path.lstat()
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        return
    if status.st_mtime > time.time() - _MIN_AGE_SECONDS:
        return
    # Some network file systems lock only what is open for writing.
    descriptor = os.open(path, os.O_NOFOLLOW | (os.O_RDONLY if is_folder else os.O_RDWR))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(descriptor)
