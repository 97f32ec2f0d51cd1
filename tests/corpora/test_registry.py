from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmcompress import corpora
from lmcompress.corpora.registry import Corpus, CorpusLibrary, read_registry
from lmcompress.errors import CorpusError, MissingDependencyError
from tests.support.archives import tar_gz
from tests.support.http_site import SHORT, Site, served

RAW = b"It was the best of corpora, it was the worst of corpora.\n" * 40
OTHER = b"A second file of the same archive.\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path / "site") as site:
        yield site


def corpus_of(raw: bytes, name: str = "shelf/book", home: str = "") -> Corpus:
    digest = hashlib.sha256(raw).hexdigest()
    return Corpus(name, len(raw), digest, f"{name}.xz", home, "public domain", "prose", "test")


@pytest.fixture
def make_library(tmp_path: Path) -> Callable[..., CorpusLibrary]:
    def make(*registered: Corpus, data_dir: Path | None = None) -> CorpusLibrary:
        registry = {corpus.name: corpus for corpus in registered}
        return CorpusLibrary(registry, tmp_path / "cache", data_dir)

    return make


def zipped(name: str, raw: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, raw)
    return packed.getvalue()


SOURCES = tar_gz(
    {"src/b.py": RAW[70:] + b"?", "src/deep/a.py": b"no", "src/a.py": RAW[:70], "src/a.c": b"no"}
)


def cached_files(library: CorpusLibrary) -> list[str]:
    files = (path for path in library.cache_dir.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(library.cache_dir)) for path in files)


# ---- the packaged registry


def test_registry_has_the_well_known_files() -> None:
    alice = corpora.info("canterbury/alice29.txt")

    assert (alice.raw_bytes, alice.split) == (152_089, "test")
    assert alice.home.endswith("/cantrbry.tar.gz#alice29.txt")
    assert corpora.info("enwik8").raw_bytes == 100_000_000
    assert corpora.info("kodak/kodim01.png").stored == "kodak/kodim01.png"
    assert len(corpora.names("calgary/")) == 18


def test_every_entry_is_well_formed() -> None:
    for name, corpus in read_registry().items():
        assert corpus.name == name
        assert corpus.raw_bytes > 0
        assert len(bytes.fromhex(corpus.sha256)) == 32
        assert corpus.stored
        assert not Path(corpus.stored).is_absolute()
        assert ".." not in Path(corpus.stored).parts
        assert corpus.licence
        assert corpus.kind


def test_train_and_test_share_no_bytes_by_hash() -> None:
    by_split: dict[str, set[str]] = {"train": set(), "test": set()}
    for corpus in read_registry().values():
        by_split[corpus.split].add(corpus.sha256)

    assert by_split["train"].isdisjoint(by_split["test"])


def test_only_training_texts_are_train() -> None:
    train = {name for name in corpora.names() if corpora.info(name).split == "train"}

    parts = [name for name in corpora.names("enwik/enwiki-2021-extract.part") if name[-1] != "3"]
    parts.append("enwik/enwiki-2016-pages.xml")
    assert train == {*corpora.names("train/"), *parts}  # part3 is what the ladder is tested on


def test_homes_that_are_ranges_name_registered_corpora() -> None:
    ranges = [c for c in read_registry().values() if c.home and "://" not in c.home]

    assert ranges
    for corpus in ranges:
        whole, byte_range = corpora.split_range(corpus.home)
        assert byte_range is not None
        assert byte_range[1] - byte_range[0] == corpus.raw_bytes
        assert corpora.info(whole).raw_bytes >= byte_range[1]


def test_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(CorpusError, match=r"alice\.txt.*did you mean canterbury/alice29\.txt"):
        corpora.info("canterbury/alice.txt")


# ---- the data folder


def test_data_folder_serves_xz_and_plain(
    tmp_path: Path, make_library: Callable[..., CorpusLibrary]
) -> None:
    packed, plain = corpus_of(RAW, "shelf/packed"), corpus_of(OTHER, "shelf/plain")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf/packed.xz").write_bytes(lzma.compress(RAW))
    (tmp_path / "shelf/plain").write_bytes(OTHER)

    library = make_library(packed, plain, data_dir=tmp_path)

    assert library.load("shelf/packed") == RAW
    assert library.load("shelf/plain") == OTHER


def test_changed_byte_in_the_data_folder_is_refused(
    tmp_path: Path, make_library: Callable[..., CorpusLibrary]
) -> None:
    (tmp_path / "shelf").mkdir()
    changed = bytearray(RAW)
    changed[7] ^= 1
    (tmp_path / "shelf/book").write_bytes(changed)

    with pytest.raises(CorpusError, match=r"shelf/book has sha256 .* expected [0-9a-f]{64}"):
        make_library(corpus_of(RAW), data_dir=tmp_path).load("shelf/book")


def test_damaged_xz_is_a_corpus_error(
    tmp_path: Path, make_library: Callable[..., CorpusLibrary]
) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf/book.xz").write_bytes(lzma.compress(RAW)[:-9])

    with pytest.raises(CorpusError, match=r"cannot read .*book\.xz"):
        make_library(corpus_of(RAW), data_dir=tmp_path).load("shelf/book")


def test_data_variable_that_names_no_folder_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(corpora.DATA_VARIABLE, str(tmp_path / "nowhere"))

    with pytest.raises(CorpusError, match=r"LMCOMPRESS_DATA is .*nowhere, not a folder"):
        corpora.load("canterbury/alice29.txt")


@pytest.mark.skipif(not os.environ.get(corpora.DATA_VARIABLE), reason="needs LMCOMPRESS_DATA")
def test_a_range_of_alice_is_the_bytes_at_that_offset() -> None:
    alice = corpora.load("canterbury/alice29.txt")

    assert len(alice) == 152_089
    assert corpora.load("canterbury/alice29.txt@1000+200") == alice[1000:1200]


# ---- ranges


@pytest.fixture
def shelf(tmp_path: Path, make_library: Callable[..., CorpusLibrary]) -> CorpusLibrary:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf/book").write_bytes(RAW)
    head = corpus_of(RAW[:50], "shelf/book.head", home="shelf/book@0+50")
    return make_library(corpus_of(RAW), head, data_dir=tmp_path)


def test_range_gives_count_bytes_from_offset(shelf: CorpusLibrary) -> None:
    assert shelf.load("shelf/book@7+4") == RAW[7:11] == b"the "
    assert shelf.load(f"shelf/book@{len(RAW)}+0") == b""


def test_range_past_the_end_raises(shelf: CorpusLibrary) -> None:
    with pytest.raises(CorpusError, match=r"has 2,280 bytes, the range ends at 2,281"):
        shelf.load(f"shelf/book@{len(RAW)}+1")


def test_corpus_that_is_a_range_is_cut_from_the_whole(shelf: CorpusLibrary) -> None:
    assert shelf.load("shelf/book.head") == RAW[:50]


# ---- downloads


@pytest.mark.parametrize(
    ("file", "member", "content"),
    [
        ("book.tar.gz", "book", tar_gz({"book": RAW})),
        ("book.zip", "book", zipped("book", RAW)),
        ("book.bz2", "", bz2.compress(RAW)),
        ("book.xz", "", lzma.compress(RAW)),
        ("book.txt", "", RAW),
    ],
    ids=["tar.gz", "zip", "bz2", "xz", "plain"],
)
def test_download_is_unpacked_and_cached(
    site: Site,
    make_library: Callable[..., CorpusLibrary],
    file: str,
    member: str,
    content: bytes,
) -> None:
    (site.folder / file).write_bytes(content)
    home = f"{site.url}/{file}" + (f"#{member}" if member else "")
    library = make_library(corpus_of(RAW, home=home))

    assert library.load("shelf/book") == RAW
    assert library.load("shelf/book") == RAW
    assert site.requests == [f"/{file}"]
    assert cached_files(library) == ["shelf/book"]


@pytest.mark.parametrize(
    ("home", "files"),
    [
        ("{url}/wiki_{{08..10}}", {"wiki_08": RAW[:9], "wiki_09": RAW[9:70], "wiki_10": RAW[70:]}),
        ("{url}/b {url}/a.xz", {"a.xz": lzma.compress(RAW[5:]), "b": RAW[:5]}),
        ("{url}/long.bz2@7+{size}", {"long.bz2": bz2.compress(b"Before " + RAW + b" after")}),
        ("{url}/src.tar.gz#src/*.py@0+{size}", {"src.tar.gz": SOURCES}),
        ("{url}/long.zip#book@0+{size}", {"long.zip": zipped("shelf/book", RAW + b" after")}),
    ],
    ids=["numbered", "two", "cut", "members", "head of a member in a folder"],
)
def test_a_home_may_be_several_downloads_or_a_part_of_one(
    site: Site, make_library: Callable[..., CorpusLibrary], home: str, files: dict[str, bytes]
) -> None:
    for name, content in files.items():
        (site.folder / name).write_bytes(content)
    corpus = corpus_of(RAW, home=home.format(url=site.url, size=len(RAW)))

    assert make_library(corpus).load("shelf/book") == RAW
    assert len(site.requests) == len(files)


def test_one_download_serves_all_members_of_an_archive(
    site: Site, make_library: Callable[..., CorpusLibrary]
) -> None:
    (site.folder / "both.tar.gz").write_bytes(tar_gz({"one": RAW, "two": OTHER}))
    one = corpus_of(RAW, "both/one", f"{site.url}/both.tar.gz#one")
    two = corpus_of(OTHER, "both/two", f"{site.url}/both.tar.gz#two")
    library = make_library(one, two)

    assert library.load("both/one") == RAW
    assert library.load("both/two") == OTHER
    assert site.requests == ["/both.tar.gz"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("book.txt", RAW[:-1], "has 2,279 bytes, expected 2,280"),
        ("book.txt", RAW + b"?", "has 2,281 bytes, expected 2,280"),
        ("book.txt", RAW[:-1] + b"?", "has sha256"),
        ("book.tar.gz", tar_gz({"book": RAW})[:90], "cannot read member book"),
        ("book.tar.gz", tar_gz({"cook": RAW}), "cannot read member book"),
        ("book.zip", zipped("cook", RAW), "cannot read member book"),
        ("book.zip", b"<html>Not Found</html>", "cannot read member book"),
        ("book.bz2", bz2.compress(RAW)[:-9], "cannot read member book"),
        ("book.xz", lzma.compress(RAW)[:-9], "cannot read member book"),
    ],
    ids=[
        "short", "long", "changed", "cut-tar", "no-member-tar", "no-member-zip", "html-zip",
        "cut-bz2", "cut-xz",
    ],
)  # fmt: skip
def test_wrong_download_is_refused_and_removed(
    site: Site,
    make_library: Callable[..., CorpusLibrary],
    file: str,
    content: bytes,
    message: str,
) -> None:
    (site.folder / file).write_bytes(content)
    library = make_library(corpus_of(RAW, home=f"{site.url}/{file}#book"))

    with pytest.raises(CorpusError, match=message):
        library.load("shelf/book")
    assert list(library.cache_dir.iterdir()) == []


def test_a_download_that_ends_early_is_a_corpus_error(
    site: Site, make_library: Callable[..., CorpusLibrary]
) -> None:
    library = make_library(corpus_of(RAW, home=f"{site.url}/{SHORT}"))

    with pytest.raises(CorpusError, match=r"100 bytes read, 900 more expected.*go online"):
        library.load("shelf/book")
    assert list(library.cache_dir.iterdir()) == []


@pytest.mark.parametrize("damaged", [RAW[1:], RAW[:-1] + b"?"], ids=["cut", "changed"])
def test_a_damaged_cache_is_replaced_and_said_so(
    site: Site,
    make_library: Callable[..., CorpusLibrary],
    caplog: pytest.LogCaptureFixture,
    damaged: bytes,
) -> None:
    (site.folder / "book.txt").write_bytes(RAW)
    library = make_library(corpus_of(RAW, home=f"{site.url}/book.txt"))
    library.load("shelf/book")
    (library.cache_dir / "shelf/book").write_bytes(damaged)

    assert library.load("shelf/book") == RAW
    assert "cached copy of shelf/book is damaged" in caplog.text
    assert (library.cache_dir / "shelf/book").read_bytes() == RAW


def test_missing_page_names_the_data_variable(
    site: Site, make_library: Callable[..., CorpusLibrary]
) -> None:
    library = make_library(corpus_of(RAW, home=f"{site.url}/gone.txt"))

    with pytest.raises(CorpusError, match=r"404.*set LMCOMPRESS_DATA"):
        library.load("shelf/book")


def test_offline_gives_one_line_that_names_the_data_variable(
    make_library: Callable[..., CorpusLibrary],
) -> None:
    # Port 9 of the local machine takes no connections.
    library = make_library(corpus_of(RAW, home="http://127.0.0.1:9/book.txt"))

    with pytest.raises(CorpusError, match=r"cannot download shelf/book.*LMCOMPRESS_DATA") as caught:
        library.load("shelf/book")
    assert "\n" not in str(caught.value)


def test_corpus_without_a_home_says_so(make_library: Callable[..., CorpusLibrary]) -> None:
    with pytest.raises(CorpusError, match=r"no public download: put shelf/book\.xz into a folder"):
        make_library(corpus_of(RAW)).load("shelf/book")


# ---- the Hugging Face hub


def test_hub_name_with_missing_parts_raises() -> None:
    with pytest.raises(CorpusError, match="expected hf:NAME:CONFIG:SPLIT:FIELD"):
        corpora.load("hf:wikitext:test")


def test_hub_without_datasets_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'lmcompress\[datasets\]'"):
        corpora.load("hf:wikitext:wikitext-2-raw-v1:test:text")
