"""Named corpora: bytes that everyone can check by size and SHA-256.

A corpus is read from the folder in the environment variable LMCOMPRESS_DATA, else from the user's
cache, else downloaded from its public home into the cache. Wherever it comes from, its size and
SHA-256 are checked before a byte is returned.

A name may end in a range: "enwik8@3000000+1000000" is 1,000,000 bytes from offset 3,000,000.
"hf:NAME:CONFIG:SPLIT:FIELD" is a field of a Hugging Face dataset (see `load_from_hub`), which has
no registered SHA-256.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import hashlib
import importlib.resources
import logging
import lzma
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from lmcompress.corpora.download import load_from_hub, unpack
from lmcompress.corpora.homes import Source, sources_of, split_range
from lmcompress.errors import CorpusError, did_you_mean
from lmcompress.system.atomic import naming
from lmcompress.system.cache import cache_home
from lmcompress.system.download import fetch
from lmcompress.system.stale import temporary_folder

_log = logging.getLogger(__name__)

DATA_VARIABLE = "LMCOMPRESS_DATA"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One line of the registry."""

    name: str
    raw_bytes: int
    sha256: str
    stored: str
    """Path in the data folder, where the file may be plain or .xz."""
    home: str
    """Downloads, as `homes.py` reads them, or a range of another corpus; empty if it has none."""
    licence: str
    kind: str
    split: Literal["train", "test"]


@dataclasses.dataclass(frozen=True)
class CorpusLibrary:
    """A registry of corpora and the two folders that may hold them."""

    registry: Mapping[str, Corpus]
    cache_dir: Path
    data_dir: Path | None = None

    def info(self, name: str) -> Corpus:
        """Returns the registry's line about a corpus; a range in the name is ignored.

        Raises:
          CorpusError: If the corpus is unknown; the message names the nearest ones.
        """
        name, _ = split_range(name)
        if name in self.registry:
            return self.registry[name]
        hint = did_you_mean(name, self.registry)
        groups = sorted({known.partition("/")[0] for known in self.registry})
        raise CorpusError(f"no corpus is named {name!r}: {hint}groups are {', '.join(groups)}")

    def load(self, name: str) -> bytes:
        """Returns a corpus or a range of one; the whole corpus is checked either way.

        Raises:
          CorpusError: If it is unknown, cannot be downloaded, has the wrong bytes, or ends before
            the range does.
        """
        name, byte_range = split_range(name)
        raw = load_from_hub(name) if name.startswith("hf:") else self._load_whole(self.info(name))
        if byte_range is None:
            return raw
        start, stop = byte_range
        if stop > len(raw):
            raise CorpusError(
                f"{name} has {len(raw):,} bytes, the range ends at {stop:,}: ask for fewer"
            )
        return raw[start:stop]

    def place_of(self, corpus: Corpus) -> str:
        """Returns where a corpus comes from: a few words."""
        if self._stored_path(corpus) is not None:
            return f"in {DATA_VARIABLE}"
        if self._cache_path(corpus).is_file():
            return "in the cache"
        return "to download" if corpus.home else "without a public home"

    def make_available(self, corpus: Corpus) -> None:
        """Downloads a corpus if it is not here yet.

        Raises:
          CorpusError: If that fails.
        """
        if self._stored_path(corpus) is None and not self._cache_path(corpus).is_file():
            self._load_from_home(corpus)

    def _load_whole(self, corpus: Corpus) -> bytes:
        raw = self._load_stored(corpus)
        if raw is not None:
            return raw
        cached = self._cache_path(corpus)
        if cached.is_file():
            raw = cached.read_bytes()
            try:
                check(corpus, raw, "the cached copy")
            except CorpusError:
                _log.warning("the cached copy of %s is damaged: replacing it", corpus.name)
            else:
                return raw
        return self._load_from_home(corpus)

    def _load_stored(self, corpus: Corpus) -> bytes | None:
        path = self._stored_path(corpus)
        if path is None:
            return None
        try:
            raw = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        except (lzma.LZMAError, OSError) as error:
            raise CorpusError(f"cannot read {path} ({error}): replace it") from error
        check(corpus, raw, f"{path}")
        return raw

    def _stored_path(self, corpus: Corpus) -> Path | None:
        if self.data_dir is None:
            return None
        plain = corpus.stored.removesuffix(".xz")
        paths = [self.data_dir / plain, self.data_dir / f"{plain}.xz"]
        return next((path for path in paths if path.is_file()), None)

    def _load_from_home(self, corpus: Corpus) -> bytes:
        if not corpus.home:
            raise CorpusError(
                f"{corpus.name} has no public download: put {corpus.stored} into a folder and set "
                f"{DATA_VARIABLE} to it"
            )
        if "://" not in corpus.home:
            raw = self.load(corpus.home)
            check(corpus, raw, corpus.home)
            return raw
        return self._download(corpus)

    def _download(self, corpus: Corpus) -> bytes:
        """Downloads a corpus and keeps those that are in the same archive."""
        sources = sources_of(corpus.home)
        with contextlib.ExitStack() as stack:
            with naming(self.cache_dir):
                self.cache_dir.mkdir(parents=True, exist_ok=True)
                folder = stack.enter_context(temporary_folder(self.cache_dir))
            archive = folder / "archive"
            raw = b"".join(_fetched(corpus, source, archive) for source in sources)
            check(corpus, raw, f"the download from {corpus.home}")
            self._keep(corpus, raw, folder)
            if len(sources) == 1:
                for other in self.registry.values():
                    if other is not corpus and other.home.startswith(f"{sources[0].url}#"):
                        self._keep_if_sound(other, archive, folder)
        return raw

    def _keep_if_sound(self, corpus: Corpus, archive: Path, folder: Path) -> None:
        """Keeps a corpus that nobody has asked for; if it is damaged, asking for it says so."""
        try:
            [source] = sources_of(corpus.home)
            raw = _taken_out(corpus, source, archive)
            check(corpus, raw, source.url)
        except (CorpusError, ValueError):
            return
        self._keep(corpus, raw, folder)

    def _keep(self, corpus: Corpus, raw: bytes, folder: Path) -> None:
        # Not synced: a copy that a crash of the machine tears has a wrong hash, and is replaced.
        written, cached = folder / "raw", self._cache_path(corpus)
        with naming(cached):
            written.write_bytes(raw)
            cached.parent.mkdir(parents=True, exist_ok=True)
            written.replace(cached)

    def _cache_path(self, corpus: Corpus) -> Path:
        return self.cache_dir / corpus.stored.removesuffix(".xz")


def _fetched(corpus: Corpus, source: Source, archive: Path) -> bytes:
    """Downloads a source of a corpus to `archive`, in place of what is there; returns its bytes."""
    archive.unlink(missing_ok=True)
    try:
        fetch(source.url, archive, label=corpus.name)
    except OSError as error:
        raise CorpusError(
            f"cannot download {corpus.name} from {source.url} ({error}): go online, or put "
            f"{corpus.stored} into a folder and set {DATA_VARIABLE} to it"
        ) from error
    return _taken_out(corpus, source, archive)


def _taken_out(corpus: Corpus, source: Source, archive: Path) -> bytes:
    start, stop = source.span or (0, corpus.raw_bytes)
    raw = unpack(archive, source.url, source.member, stop)
    return raw if source.span is None else raw[start:stop]


def check(corpus: Corpus, raw: bytes, where: str) -> None:
    """Raises CorpusError unless `raw`, found at `where`, has the size and hash of the corpus."""
    if len(raw) != corpus.raw_bytes:
        raise CorpusError(
            f"{where} has {len(raw):,} bytes, expected {corpus.raw_bytes:,} for {corpus.name}: "
            "replace it with the right file"
        )
    found = hashlib.sha256(raw).hexdigest()
    if found != corpus.sha256:
        raise CorpusError(
            f"{where} has sha256 {found}, expected {corpus.sha256} for {corpus.name}: "
            "replace it with the right file"
        )


@functools.cache
def read_registry() -> Mapping[str, Corpus]:
    """Returns the packaged registry, by name."""
    table = importlib.resources.files("lmcompress.corpora").joinpath("registry.tsv")
    lines = table.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return {
        row["name"]: Corpus(
            name=row["name"],
            raw_bytes=int(row["raw_bytes"]),
            sha256=row["sha256"],
            stored=row["stored"],
            home=row["home"],
            licence=row["licence"],
            kind=row["kind"],
            split="train" if row["split"] == "train" else "test",
        )
        for row in rows
    }


def default_library() -> CorpusLibrary:
    """Returns the packaged corpora with the folders that the environment variables name.

    Raises:
      CorpusError: If LMCOMPRESS_DATA names no folder.
    """
    data_dir = Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None
    if data_dir is not None and not data_dir.is_dir():
        raise CorpusError(f"{DATA_VARIABLE} is {data_dir}, not a folder: correct or unset it")
    return CorpusLibrary(read_registry(), cache_home() / "corpora", data_dir)


def load(name: str) -> bytes:
    """Returns a corpus by name, or a range of it ("NAME@OFFSET+COUNT"), checked.

    Raises:
      CorpusError: If it is unknown, cannot be downloaded, or has the wrong bytes.
      MissingDependencyError: For an "hf:" name without the `datasets` package.
    """
    return default_library().load(name)


def names(prefix: str = "") -> list[str]:
    """Returns the names that start with `prefix`, sorted."""
    return sorted(name for name in read_registry() if name.startswith(prefix))


def info(name: str) -> Corpus:
    """Returns the registry's line about a corpus; raises CorpusError if there is none."""
    return CorpusLibrary(read_registry(), Path()).info(name)
