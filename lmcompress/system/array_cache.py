"""Arrays that take long to make, kept on disk for the next process.

A file that is damaged, or of another version, counts as absent; so does a folder that cannot be
written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lmcompress.errors import LmcompressError
from lmcompress.system.atomic import replace_atomically
from lmcompress.system.cache import cache_home

Arrays = list[npt.NDArray[np.generic]]
_DIGEST_BYTES = 32
_log = logging.getLogger(__name__)


class ArrayCache:
    """A folder of at most `max_bytes`; what was used last stays."""

    def __init__(self, name: str, max_bytes: int, folder: Path | None = None) -> None:
        """Uses the folder of that name in the user's cache if none is given."""
        self._name, self._max_bytes, self._folder = name, max_bytes, folder

    def load(self, key: Sequence[object]) -> Arrays | None:
        """Returns the arrays that were saved under a key, or None."""
        if not self._max_bytes:
            return None
        try:
            path = self._path(key)
            content = memoryview(path.read_bytes())
            os.utime(path)  # it is in use
        except (OSError, LmcompressError):
            return None
        return _unpacked(content)

    def save(self, key: Sequence[object], arrays: Arrays) -> None:
        """Saves arrays if there is room for them, and removes what was not used for longest."""
        content = _packed(arrays)
        if len(content) > self._max_bytes:
            return
        try:
            path = self._path(key)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not synced: what a crash of the machine tears has a wrong digest, and is not used.
            with replace_atomically(path, overwrite=True, sync=False) as file:
                file.write(content)
            self._remove_oldest(path.parent)
        except (OSError, LmcompressError) as exc:
            _log.warning("cannot keep %s for next time: %s", self._name, exc)

    def _path(self, key: Sequence[object]) -> Path:
        name = hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest()
        return (self._folder or cache_home() / self._name) / name

    def _remove_oldest(self, folder: Path) -> None:
        total = 0
        for path in sorted(folder.iterdir(), key=_last_use, reverse=True):
            with contextlib.suppress(FileNotFoundError):  # another process removes them too
                total += path.stat().st_size
                if total > self._max_bytes:
                    path.unlink()


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _packed(arrays: Arrays) -> bytes:
    stream = io.BytesIO()
    for array in arrays:
        np.save(stream, array, allow_pickle=False)
    data = stream.getbuffer()
    return _digest(data) + data


def _unpacked(content: memoryview) -> Arrays | None:
    data = content[_DIGEST_BYTES:]
    if content[:_DIGEST_BYTES] != _digest(data):
        return None
    stream, arrays = io.BytesIO(data), []
    while stream.tell() < len(data):
        arrays.append(np.load(stream, allow_pickle=False))
    return arrays


def _digest(data: memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
