"""Downloads over HTTP, through pooch: tried twice, and checked against a hash if one is known."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from tqdm import tqdm

_PIECE_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30
# A server that compresses on the way would send other bytes than those that were published.
_HEADERS = {"User-Agent": "lmcompress", "Accept-Encoding": "identity"}


def fetch(url: str, path: Path, label: str, sha256: str | None = None) -> None:
    """Downloads `url` to `path`, which must not exist yet, with a progress bar on a terminal.

    The file gets its name once it is complete.

    Raises:
      OSError: If the server cannot be reached, refuses or hangs up early, or if the file has
        another SHA-256.
    """
    import pooch  # takes a while

    pooch.get_logger().setLevel(logging.WARNING)  # the progress bar says enough
    downloads = pooch.Pooch(
        path.parent,
        base_url="",
        registry={path.name: sha256},
        urls={path.name: url},
        retry_if_failed=1,
    )
    is_hidden = sys.stderr is None or not sys.stderr.isatty()
    # pooch sets the total, but takes a bar without one for False.
    with tqdm(total=1, desc=label, unit="B", unit_scale=True, disable=is_hidden) as bar:
        downloader = pooch.HTTPDownloader(
            bar, _PIECE_BYTES, timeout=_TIMEOUT_SECONDS, headers=_HEADERS
        )
        try:
            downloads.fetch(path.name, downloader=downloader)
        except (OSError, ValueError) as exc:  # ValueError: another hash
            raise OSError(_root_cause(exc)) from exc


def _root_cause(error: BaseException) -> str:
    """Returns the first error of a chain: requests and urllib3 wrap it in long texts."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error)
