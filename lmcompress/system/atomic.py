"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lmcompress.errors import LmcompressError
from lmcompress.system.stale import clean_up, held, temporary_folder, temporary_name

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

logger = logging.getLogger(__name__)

_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""What a file system says that has no way to sync this."""


@contextlib.contextmanager
def replace_atomically(
    path: Path,
    *,
    overwrite: bool,
    mode_from: Path | None = None,
    sync: bool = True,
    unfinished: Path | None = None,
) -> Iterator[BinaryIO]:
    """Yields a file that gets the name `path` once the block ends without an exception.

    It is written under a temporary name in the same folder and removed on any exception,
    KeyboardInterrupt included; what a killed process leaves is removed by the next. A link at
    `path` stays, and the file that it points to is replaced.

    Args:
      path: The output file.
      overwrite: Whether a file may be there already.
      mode_from: A file whose permission bits, access time and modification time are copied.
      sync: Whether bytes and name are forced to the disk, in this order: the file is whole after
        a crash of the machine. Otherwise it is so after a crash of the program.
      unfinished: The temporary name, in the folder of the output, for work that can be resumed: a
        file of this name is continued at its end, and stays where the block raises. What it holds
        is for the block to check; nobody else can write it meanwhile.

    Raises:
      LmcompressError: If a file exists and may not be overwritten, `path` is a folder or a device,
        another process writes `unfinished`, or writing fails. Exceptions of the block itself pass
        through.
    """
    final = Path(os.path.realpath(path))
    source = None
    if mode_from is not None:
        with naming(mode_from, "read"):
            source = mode_from.stat()
    with naming(path):
        _refuse_existing(path, final, overwrite)
        if not final.parent.exists():
            raise LmcompressError(f"cannot write {path}: found no folder {path.parent}: create it")
    clean_up(final.parent)
    temporary = unfinished or final.with_name(temporary_name())
    # Until the source's permissions are copied, nobody else may read what it holds.
    mode = 0o666 if source is None else 0o600
    with _opened(temporary, path, mode, resumes=unfinished is not None) as raw_file:
        output = io.BufferedRandom(raw_file, 1 << 16)
        try:
            yield output
            output.flush()
            with naming(path):
                if sync:
                    _sync(raw_file.fileno())
                output.close()
                if source is not None:
                    _copy_mode_and_times(source, temporary)
                _publish(temporary, final, path, overwrite)
                if sync:
                    _sync_folder(final.parent)
        except BaseException:
            with contextlib.suppress(OSError, LmcompressError):
                if unfinished is not None:
                    output.flush()
                raw_file.close()  # not `output.close()`: that would try to write the rest
            if unfinished is None:
                with contextlib.suppress(OSError):
                    temporary.unlink()
            raise


def replace_by(path: Path, write: Callable[[Path], object]) -> None:
    """Replaces a file by one that `write` makes under a temporary path, with the umask's mode.

    For libraries that take a path: it is synced, and appears whole or not at all.

    Raises:
      LmcompressError: If writing fails with an OSError. Other exceptions pass through.
    """
    with naming(path), temporary_folder(path.parent) as folder:
        written = folder / path.name
        written.touch()
        mode = stat.S_IMODE(written.stat().st_mode)
        write(written)
        written.chmod(mode)  # safetensors writes what only its owner can read
        with written.open("rb+") as file:
            _sync(file.fileno())
        os.replace(written, path)
        _sync_folder(path.parent)


@contextlib.contextmanager
def naming(path: Path, verb: str = "write") -> Iterator[None]:
    """Turns an OSError, which may not name a file, into a line that names the user's."""
    try:
        yield
    except OSError as exc:
        raise LmcompressError(f"cannot {verb} {path}: {exc.strerror or exc}") from exc


class _NamedOutput(io.FileIO):
    """A file open for reading and writing whose errors name the path that the user gave.

    An OSError from a write has no file name, so a caller could not tell it from one of a read.
    """

    def __init__(self, temporary: Path, path: Path, mode: int, *, resumes: bool) -> None:
        self._path = path
        flags = os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | (0 if resumes else os.O_EXCL)
        super().__init__(
            temporary, "rb+", opener=lambda name, given: os.open(name, given | flags, mode)
        )

    def write(self, data: ReadableBuffer, /) -> int:
        with naming(self._path):
            return super().write(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with naming(self._path):
            return super().seek(offset, whence)

    def truncate(self, size: int | None = None, /) -> int:
        with naming(self._path):
            return super().truncate(size)

    def close(self) -> None:
        with naming(self._path):  # some network file systems report a full disk here
            super().close()


@contextlib.contextmanager
def _opened(temporary: Path, path: Path, mode: int, *, resumes: bool) -> Iterator[_NamedOutput]:
    """Yields the temporary file, at its end, and holds it until all is done with it."""
    with contextlib.ExitStack() as lock:
        with naming(path):
            raw_file = _NamedOutput(temporary, path, mode, resumes=resumes)
            try:
                _hold(raw_file, temporary, lock)
                if resumes and mode == 0o600:
                    temporary.chmod(mode)
                raw_file.seek(0, os.SEEK_END)
            except BaseException as exc:
                raw_file.close()
                if not resumes:
                    temporary.unlink()
                if not isinstance(exc, BlockingIOError):
                    raise
                raise LmcompressError(
                    f"cannot write {path}: another process is writing {temporary}: wait for it"
                ) from exc
        yield raw_file


def _hold(raw_file: _NamedOutput, temporary: Path, lock: contextlib.ExitStack) -> None:
    """Raises BlockingIOError if another process holds the file, or has just renamed it."""
    lock.enter_context(held(raw_file.fileno()))
    if not os.path.samestat(os.fstat(raw_file.fileno()), os.lstat(temporary)):
        raise BlockingIOError


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


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as exc:
        if exc.errno not in _CANNOT_SYNC:
            raise


def _sync_folder(folder: Path) -> None:
    """Forces the names in a folder to the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders; others may be written to, but not read
        return
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


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
