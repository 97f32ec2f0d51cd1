"""The folder for this program's files in the user's cache."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from lmcompress.errors import LmcompressError


def cache_home() -> Path:
    """Returns this program's folder in the user's cache, which need not exist yet.

    On Linux it is $XDG_CACHE_HOME/lmcompress, by default ~/.cache/lmcompress.

    Raises:
      LmcompressError: If the user has no home folder.
    """
    try:
        return platformdirs.user_cache_path("lmcompress", appauthor=False)
    except RuntimeError as exc:  # no HOME, and no entry in the password file
        raise LmcompressError("you have no home folder: set XDG_CACHE_HOME") from exc
