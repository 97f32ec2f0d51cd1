"""Which files of a folder are opened, by Python, C or Rust: the kernel says so (Linux, inotify)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from lmcompress.errors import NotProvenError

LEFT_OUT = "__pycache__"
_OPENED = 0x20
_OVERFLOW = 0x4000
_EVENT = struct.Struct("iIII")
"""Watch, what happened, cookie, length of the name that follows."""


class OpenedFiles:
    """The files of a folder, or one file, that any process opens while this is open.

    Where the kernel does not tell (not Linux), all files count as opened.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._descriptor = -1
        self._watched: dict[int, Path] = {}

    def __enter__(self) -> OpenedFiles:
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            for path in [self._top, *_folders_below(self._top)]:
                watch = libc.inotify_add_watch(self._descriptor, os.fsencode(path), _OPENED)
                if watch < 0:
                    reason = os.strerror(ctypes.get_errno())
                    raise NotProvenError(f"cannot watch {path}: {reason}: use a smaller folder")
                self._watched[watch] = path
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @property
    def is_known(self) -> bool:
        """Whether the kernel says which files are opened."""
        return self._descriptor >= 0

    def paths(self) -> list[Path]:
        """Returns the regular files that were opened so far, in order.

        Raises:
          NotProvenError: If more were opened than the kernel keeps in mind.
        """
        found = self._events() if self.is_known else _files_below(self._top)
        return sorted({path for path in found if path.is_file() and not path.is_symlink()})

    def _events(self) -> Iterator[Path]:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._descriptor, 1 << 20):
                yield from self._parsed(data)

    def _parsed(self, data: bytes) -> Iterator[Path]:
        at = 0
        while at < len(data):
            watch, kind, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size + length
            if kind & _OVERFLOW:
                raise NotProvenError("too many files were opened to count them: use fewer files")
            name = data[at - length : at].rstrip(b"\0")
            yield self._watched[watch] / os.fsdecode(name) if name else self._watched[watch]


def _folders_below(top: Path) -> Iterator[Path]:
    if top.is_dir():
        for folder, names, _ in os.walk(top):
            names[:] = [name for name in names if name != LEFT_OUT]
            yield from (Path(folder) / name for name in names)


def _files_below(top: Path) -> Iterator[Path]:
    for folder in [top, *_folders_below(top)]:
        yield from folder.iterdir() if folder.is_dir() else [folder]
