"""Where the user's cache is."""

from __future__ import annotations

import os
from pathlib import Path

from lmcompress.errors import LmcompressError


def cache_home() -> Path:
    """Returns this program's folder in the user's cache, which need not exist yet.

    Raises:
      LmcompressError: If the user has no home folder.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as exc:  # no HOME, and no entry in the password file
        raise LmcompressError("you have no home folder: set XDG_CACHE_HOME") from exc
    return Path(home, "lmcompress")
