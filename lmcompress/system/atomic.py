"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lmcompress.errors import LmcompressError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def replace_atomically(
    path: Path, *, overwrite: bool, mode_from: Path | None = None
) -> Iterator[BinaryIO]:
    """Yields a file that gets the name `path` once the block ends without an exception.

    It is written under a temporary name in the same folder and removed on any exception,
    KeyboardInterrupt included. A link at `path` stays, and the file that it points to is replaced.
    Nothing is synced to disk: the file is whole after a crash of the program, not of the machine.

    Args:
      path: The output file.
      overwrite: Whether a file may be there already.
      mode_from: A file whose permission bits, access time and modification time are copied.

    Raises:
      LmcompressError: If a file exists and may not be overwritten, `path` is a folder or a device,
        or writing fails. Exceptions of the block itself pass through.
    """
    final = Path(os.path.realpath(path))
    source = None
    if mode_from is not None:
        with _naming(mode_from, "read"):
            source = mode_from.stat()
    with _naming(path):
        _refuse_existing(path, final, overwrite)
    temporary = final.with_name(f".lmc-{secrets.token_hex(8)}.tmp")
    raw_file = _open_new(temporary, path, is_private=source is not None)
    output = io.BufferedWriter(raw_file, 1 << 16)
    try:
        yield output
        output.close()
        with _naming(path):
            if source is not None:
                _copy_mode_and_times(source, temporary)
            _publish(temporary, final, path, overwrite)
    except BaseException:
        with contextlib.suppress(OSError):
            raw_file.close()  # not `output.close()`: that would try to write the rest
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


class _NamedOutput(io.FileIO):
    """A new file whose write errors name the path that the user gave.

    An OSError from a write has no file name, so a caller could not tell it from one of a read.
    """

    def __init__(self, temporary: Path, path: Path, mode: int) -> None:
        self._path = path
        super().__init__(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode))

    def write(self, data: ReadableBuffer, /) -> int:
        with _naming(self._path):
            return super().write(data)

    def close(self) -> None:
        with _naming(self._path):  # some network file systems report a full disk here
            super().close()


@contextlib.contextmanager
def _naming(path: Path, verb: str = "write") -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise LmcompressError(f"cannot {verb} {path}: {exc.strerror or exc}") from exc


def _open_new(temporary: Path, path: Path, *, is_private: bool) -> _NamedOutput:
    with _naming(path):
        if not temporary.parent.exists():
            raise LmcompressError(f"cannot write {path}: found no folder {path.parent}: create it")
        # Until the source's permissions are copied, nobody else may read what it holds.
        return _NamedOutput(temporary, path, 0o600 if is_private else 0o666)


def _refuse_existing(path: Path, final: Path, overwrite: bool) -> None:
    try:
        mode = final.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise LmcompressError(f"cannot write {path}: it is {kind}: give the name of a file")
    if not overwrite:
        raise _exists_error(path)


def _exists_error(path: Path) -> LmcompressError:
    return LmcompressError(f"{path} exists: pass -f (overwrite=True) to replace it")


def _copy_mode_and_times(source: os.stat_result, temporary: Path) -> None:
    try:
        os.chmod(temporary, stat.S_IMODE(source.st_mode) & 0o777)  # setuid is never copied
        os.utime(temporary, ns=(source.st_atime_ns, source.st_mtime_ns))
    except PermissionError as exc:  # FAT and some network shares keep neither
        logger.warning("cannot copy permissions and times to the output: %s", exc.strerror)


def _publish(temporary: Path, final: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, final)
        return
    try:
        os.link(temporary, final)  # of two processes only one succeeds, and nobody sees half a file
    except FileExistsError as exc:
        raise _exists_error(path) from exc
    except OSError:
        _claim_and_replace(temporary, final, path)
    else:
        temporary.unlink()


def _claim_and_replace(temporary: Path, final: Path, path: Path) -> None:
    """Publishes on a file system without hard links: for a moment the file is there, empty."""
    try:
        claim = os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as exc:
        raise _exists_error(path) from exc
    try:
        os.close(claim)
        os.replace(temporary, final)
    except BaseException:
        final.unlink()
        raise
