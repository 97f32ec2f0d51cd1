"""Taking a corpus out of the archive that was downloaded, or out of a Hugging Face dataset."""

from __future__ import annotations

import bz2
import importlib
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from lmcompress.errors import CorpusError
from lmcompress.system.extras import needs_extra

_BROKEN_ARCHIVE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,  # zipfile, for a member with a password
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
)


def unpack(archive: Path, url: str, member: str, raw_bytes: int) -> bytes:
    """Returns the corpus in a downloaded file.

    The processors of pooch would write all of a member to disk, however large it turns out to be.

    Args:
      archive: The download.
      url: Its end tells the kind: .tar.gz (or any tar), .zip, .bz2, .xz, or else the corpus itself.
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
            return _read_from_tar(tar, member, limit)
    suffix = suffixes[-1] if suffixes else ""
    if suffix == ".zip":
        with (
            zipfile.ZipFile(file) as zipped,
            zipped.open(_nearest(zipped.namelist(), member)) as reader,
        ):
            return reader.read(limit)
    if suffix == ".bz2":
        with bz2.open(file) as reader:
            return reader.read(limit)
    if suffix == ".xz":
        with lzma.open(file) as reader:
            return reader.read(limit)
    return file.read(limit)


def _read_from_tar(tar: tarfile.TarFile, member: str, limit: int) -> bytes:
    """Returns a member, or with a * in its name all that are called so, joined by their names."""
    names = [member]
    if "*" in member:
        names = sorted(n for n in tar.getnames() if PurePosixPath(n).match(member)) or names
    raw = b""
    for name in names:
        reader = tar.extractfile(name)
        if reader is None:
            raise KeyError(f"{name} is not a file")
        raw += reader.read(limit - len(raw))
    return raw


def _nearest(names: list[str], member: str) -> str:
    """Returns the member's name, or that of the only one in any folder that is called so."""
    alike = [name for name in names if name.endswith(f"/{member}")]
    return alike[0] if member not in names and len(alike) == 1 else member


def load_from_hub(name: str) -> bytes:
    """Returns one field of all records of "hf:NAME:CONFIG:SPLIT:FIELD", joined by newlines.

    An empty CONFIG is the dataset's default. The text is whatever the hub serves today: record its
    SHA-256 with every result.

    Raises:
      CorpusError: If the name does not have four parts, or the dataset or field cannot be loaded.
      MissingDependencyError: If `datasets` is not installed.
    """
    parts = name.removeprefix("hf:").split(":")
    if len(parts) != 4:
        raise CorpusError(f"{name} has {len(parts)} parts, expected hf:NAME:CONFIG:SPLIT:FIELD")
    dataset_name, config, split, field = parts
    with needs_extra("datasets", name, "datasets"):
        datasets: Any = importlib.import_module("datasets")
    try:
        records = datasets.load_dataset(dataset_name, config or None, split=split)
        return "\n".join(record[field] for record in records).encode()
    except Exception as error:  # datasets and its backends raise errors of many libraries
        reason = " ".join(str(error).split())
        raise CorpusError(f"cannot load {name} ({type(error).__name__}: {reason})") from error
