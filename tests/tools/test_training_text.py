"""Training text is built of what the table names, cleaned, without tested authors."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.archives import tar_gz
from tests.support.http_site import served
from tools import training_text
from tools.training_text import Source, cleaned, is_wanted, sources

FILES = {
    "repo-HEAD/src/a.md": b"alpha\r\nbeta\n",
    "repo-HEAD/src/deep/b.md": b"not matched",
    "repo-HEAD/src/latin.md": b"caf\xe9",
    "repo-HEAD/txt/Thomas Hardy___Novel.md": b"a test text's author",
    "repo-HEAD/src/Jane Austen___Emma.md": b"Emma Woodhouse",
}


@pytest.fixture
def one_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a site's folder from which all of the table's only source comes."""
    site = tmp_path / "site"
    (site / "owner" / "repo" / "archive").mkdir(parents=True)
    (site / "owner" / "repo" / "archive" / "HEAD.tar.gz").write_bytes(tar_gz(FILES))
    monkeypatch.setattr(
        training_text, "sources", lambda: [Source("docs", "owner/repo", "src/*.md txt/*.md", "")]
    )
    return site


def test_a_text_has_the_files_that_are_wanted(
    one_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(one_source) as site:
        monkeypatch.setattr(training_text, "SITE", site.url.rstrip("/"))
        text = training_text.build("docs", tmp_path, 1000).read_text("utf-8")

    assert sorted(part.strip() for part in text.split("==> ")[1:]) == [
        "src/Jane Austen___Emma.md <==\nEmma Woodhouse",
        "src/a.md <==\nalpha\nbeta",
    ]


def test_no_text_is_larger_than_asked(
    one_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(one_source) as site:
        monkeypatch.setattr(training_text, "SITE", site.url.rstrip("/"))
        assert training_text.build("docs", tmp_path, 30).stat().st_size == 30


def test_what_cannot_be_downloaded_is_one_line_and_leaves_nothing(
    one_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_text, "SITE", "http://127.0.0.1:9")
    found = CliRunner().invoke(training_text.main, [str(tmp_path / "out"), "--text", "docs"])

    assert found.exit_code == 1
    assert "cannot download http://127.0.0.1:9/owner/repo/archive/HEAD.tar.gz" in found.output
    assert list((tmp_path / "out").iterdir()) == []


def test_licences_and_tags_are_cut() -> None:
    book = "Header\n*** START OF THIS BOOK ***\nOnce.\n*** END OF THIS BOOK ***\nLicence"

    assert cleaned(book, "gutenberg") == "Once."
    assert cleaned("<p>Il <hi>est</hi> tard.</p>", "tags") == "Il est tard."
    assert cleaned("a < b\r\n", "") == "a < b"


def test_paths_match_from_the_right() -> None:
    assert is_wanted("book-HEAD/src/ch01.md", ["src/*.md"])
    assert not is_wanted("book-HEAD/src/img/ch01.md", ["src/*.md"])


def test_the_table_names_a_text_and_files_for_each_source() -> None:
    found = sources()

    assert {source.text for source in found} == {
        "books-en", "docs", "code-mix", "data-mix", "languages",
    }  # fmt: skip
    assert all(source.repository.count("/") == 1 and source.files for source in found)
    assert {source.cut for source in found} == {"", "gutenberg", "tags"}
    assert len(set(found)) == len(found)
