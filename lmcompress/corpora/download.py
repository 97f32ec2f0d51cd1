"""Fetching a corpus from its public home, and taking it out of the archive it comes in."""

from __future__ import annotations

import bz2
import http.client
import lzma
import sys
import tarfile
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from tqdm import tqdm

from lmcompress.errors import CorpusError

_PIECE_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30
_BROKEN_ARCHIVE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,  # zipfile, for a member that wants a password
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
)


def fetch(url: str, path: Path, label: str) -> None:
    """Downloads `url` to `path`, with a progress bar on stderr if that is a terminal.

    Raises:
      OSError: If the server cannot be reached, refuses, or hangs up early.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "lmcompress"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            declared = response.headers.get("Content-Length")
            total = int(declared) if declared else None
            num_received = _copy(response, path, total, label)
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    # urllib does not object when a connection closes early.
    if total is not None and num_received != total:
        raise OSError(f"the connection closed after {num_received:,} of {total:,} bytes")


def _copy(response: IO[bytes], path: Path, total: int | None, label: str) -> int:
    num_received = 0
    with (
        path.open("wb") as sink,
        tqdm(
            total=total,
            desc=label,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            disable=sys.stderr is None or not sys.stderr.isatty(),
        ) as bar,
    ):
        while piece := response.read(_PIECE_BYTES):
            sink.write(piece)
            bar.update(len(piece))
            num_received += len(piece)
    return num_received


def unpack(archive: Path, url: str, member: str, raw_bytes: int) -> bytes:
    """Returns the corpus in a downloaded file, whose kind the end of its URL tells.

    Args:
      archive: The download.
      url: Where it came from: .tar.gz (or any tar), .zip, .bz2, .xz, or else the corpus itself.
      member: Name in the archive.
      raw_bytes: Expected size; at most one byte more is read, whatever the archive holds.

    Raises:
      CorpusError: If the download is damaged or has no such member.
    """
    try:
        with archive.open("rb") as file:
            return _read_member(file, Path(urlsplit(url).path).suffixes, member, raw_bytes + 1)
    except _BROKEN_ARCHIVE as error:
        what = f"member {member} of the download" if member else "the download"
        raise CorpusError(
            f"cannot read {what} from {url} ({error}): it was removed, try again"
        ) from error


def _read_member(file: IO[bytes], suffixes: list[str], member: str, limit: int) -> bytes:
    if ".tar" in suffixes or ".tgz" in suffixes:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            reader = tar.extractfile(member)
            if reader is None:
                raise KeyError(f"{member} is not a file")
            return reader.read(limit)
    suffix = suffixes[-1] if suffixes else ""
    if suffix == ".zip":
        with zipfile.ZipFile(file) as zipped, zipped.open(member) as reader:
            return reader.read(limit)
    if suffix == ".bz2":
        with bz2.open(file) as reader:
            return reader.read(limit)
    if suffix == ".xz":
        with lzma.open(file) as reader:
            return reader.read(limit)
    return file.read(limit)
