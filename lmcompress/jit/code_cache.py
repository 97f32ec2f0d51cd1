"""Machine code on disk: a file for each kernel and the types of its arguments.

numba numbers such files and keeps an index for each function. Two processes that compile at the
same time may take the same number, and then run each other's code; an index cut short by a power
failure breaks every start. Here a file is named after everything that identifies its code, appears
whole or not at all, and is ignored if its checksum is wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

from numba.core.serialize import dumps

from lmcompress.system.atomic import replace_atomically

_DIGEST_BYTES = 32
_UNUSED_SECONDS = 30 * 24 * 3600


class CodeFiles:
    """Stores machine code for numba's cache, in place of its `IndexDataCacheFile`."""

    def __init__(self, folder: Path) -> None:
        """Stores the code of one version, in `folder`."""
        self._folder = folder

    def load(self, key: tuple[Any, ...]) -> Any:
        """Returns what was saved under a key, or None."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        data = content[_DIGEST_BYTES:]
        return pickle.loads(data) if content[:_DIGEST_BYTES] == _digest(data) else None

    def save(self, key: tuple[Any, ...], code: Any) -> None:
        """Saves machine code; raises OSError or LmcompressError if it cannot."""
        data: bytes = dumps(code)
        # Not synced: what a crash of the machine tears has a wrong checksum, and is compiled again.
        with replace_atomically(self._path(key), overwrite=True, sync=False) as file:
            file.write(_digest(data) + data)

    def _path(self, key: tuple[Any, ...]) -> Path:
        return self._folder / _digest(repr(key).encode()).hex()


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def remove_unused(folder: Path) -> None:
    """Removes the folders beside this one whose code no process has asked for in 30 days."""
    for other in folder.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process removes them too
            if other != folder and other.stat().st_mtime < time.time() - _UNUSED_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
