from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmcompress.system.download import fetch
from tests.support.http_site import SHORT, Site, served

RAW = b"A file of a public home.\n" * 40
SHA256 = hashlib.sha256(RAW).hexdigest()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path / "site") as site:
        (site.folder / "file.bin").write_bytes(RAW)
        yield site


def test_a_download_that_breaks_off_is_tried_again(site: Site, tmp_path: Path) -> None:
    site.num_failures = 1

    fetch(f"{site.url}/file.bin", tmp_path / "got", "file", SHA256)

    assert (tmp_path / "got").read_bytes() == RAW
    assert len(site.requests) == 2


@pytest.mark.parametrize(
    ("file", "sha256", "message"),
    [
        ("file.bin", "0" * 64, f"expected {'0' * 64} but got {SHA256}"),
        (SHORT, None, "100 bytes read, 900 more expected"),
        ("gone.bin", None, "404"),
    ],
    ids=["other-hash", "ends-early", "missing"],
)
def test_a_download_that_fails_leaves_nothing(
    file: str, sha256: str | None, message: str, site: Site, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match=message):
        fetch(f"{site.url}/{file}", tmp_path / "got", "file", sha256)

    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_a_bar_is_for_terminals_only(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(f"{site.url}/file.bin", tmp_path / "got", "file")

    assert capfd.readouterr() == ("", "")
