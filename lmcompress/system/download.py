"""Downloads over HTTP, through pooch, checked against a hash if one is known."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from lmcompress.errors import LmcompressError
from lmcompress.system.stale import temporary_folder

_PIECE_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30
_SECONDS_BEFORE_RETRY = 1
_MAY_PASS = (408, 429)
"""Request timeout, too many requests: statuses below 500 that another try may not get."""
# A server that compresses on the way would send other bytes than those that were published.
_HEADERS = {"User-Agent": "lmcompress", "Accept-Encoding": "identity"}


def fetch(url: str, path: Path, label: str, sha256: str | None = None) -> None:
    """Downloads `url` to `path`, which must not exist yet, with a progress bar on a terminal.

    The file gets its name once it is complete. A failure that may pass, such as a broken
    connection, is tried once more.

    Nothing is synced: whoever reads the file again checks its hash.

    Raises:
      OSError: If the server cannot be reached, refuses or hangs up early, or if the file has
        another SHA-256.
      LmcompressError: If the file cannot be written here.
    """
    for is_last in (False, True):
        try:
            _fetch_once(url, path, label, sha256)
            return
        except (OSError, ValueError) as exc:  # ValueError: another hash
            if _is_local(exc):
                raise LmcompressError(f"cannot write {path}: {exc.strerror}") from exc
            if is_last or not _may_pass(exc):
                raise OSError(_root_cause(exc)) from exc
        time.sleep(_SECONDS_BEFORE_RETRY)


def _fetch_once(url: str, path: Path, label: str, sha256: str | None) -> None:
    import pooch  # both take a while
    from tqdm import tqdm

    is_hidden = sys.stderr is None or not sys.stderr.isatty()
    # pooch sets the total, but takes a bar without one for False.
    with tqdm(total=1, desc=label, unit="B", unit_scale=True, disable=is_hidden) as bar:
        downloader = pooch.HTTPDownloader(
            bar, _PIECE_BYTES, timeout=_TIMEOUT_SECONDS, headers=_HEADERS
        )
        quiet = _only_warnings(pooch.get_logger())  # the progress bar says enough
        with quiet, temporary_folder(path.parent) as folder:
            pooch.retrieve(url, sha256, path.name, folder, downloader=downloader)
            os.replace(folder / path.name, path)


@contextlib.contextmanager
def _only_warnings(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _is_local(error: Exception) -> TypeGuard[OSError]:
    """Whether the file system is to blame: the network's errors come wrapped by requests."""
    from requests import RequestException

    return isinstance(error, OSError) and not isinstance(error, RequestException)


def _may_pass(error: Exception) -> bool:
    """Whether another try may succeed: not for a file that is missing, or has another hash."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        status = error.response.status_code
        return status >= 500 or status in _MAY_PASS
    lost = exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError
    return isinstance(error, lost)


def _root_cause(error: BaseException) -> str:
    """Returns the first error of a chain: requests and urllib3 wrap it in long texts."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error)
