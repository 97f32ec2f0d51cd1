from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pooch
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


@pytest.mark.parametrize("status", [200, 408, 429, 500, 503])
def test_a_failure_that_may_pass_is_tried_again(status: int, site: Site, tmp_path: Path) -> None:
    site.num_failures, site.failure_status = 1, status

    fetch(f"{site.url}/file.bin", tmp_path / "got", "file", SHA256)

    assert (tmp_path / "got").read_bytes() == RAW
    assert len(site.requests) == 2


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(status: int, site: Site, tmp_path: Path) -> None:
    site.num_failures, site.failure_status = 1, status

    with pytest.raises(OSError, match=str(status)):
        fetch(f"{site.url}/file.bin", tmp_path / "got", "file")

    assert len(site.requests) == 1


def test_the_second_failure_is_the_one_reported(site: Site, tmp_path: Path) -> None:
    site.num_failures, site.failure_status = 2, 503

    with pytest.raises(OSError, match="503"):
        fetch(f"{site.url}/file.bin", tmp_path / "got", "file")

    assert len(site.requests) == 2


def test_a_server_that_is_down_is_an_os_error(tmp_path: Path) -> None:
    with served(tmp_path / "site") as site:
        pass

    with pytest.raises(OSError, match="refused"):
        fetch(f"{site.url}/file.bin", tmp_path / "got", "file")


@pytest.mark.parametrize(
    ("file", "sha256", "message", "num_requests"),
    [
        ("file.bin", "0" * 64, f"expected {'0' * 64} but got {SHA256}", 1),
        (SHORT, None, "100 bytes read, 900 more expected", 2),
        ("gone.bin", None, "404", 1),
    ],
    ids=["other-hash", "ends-early", "missing"],
)
def test_a_download_that_fails_leaves_nothing(
    file: str, sha256: str | None, message: str, num_requests: int, site: Site, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match=message):
        fetch(f"{site.url}/{file}", tmp_path / "got", "file", sha256)

    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert len(site.requests) == num_requests


@pytest.mark.parametrize("file", ["file.bin", "gone.bin"])
def test_the_logger_of_pooch_keeps_its_level(file: str, site: Site, tmp_path: Path) -> None:
    logger = pooch.get_logger()
    before = logger.level

    with contextlib.suppress(OSError):
        fetch(f"{site.url}/{file}", tmp_path / "got", "file")

    assert logger.level == before


def test_a_bar_is_for_terminals_only(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(f"{site.url}/file.bin", tmp_path / "got", "file")

    assert capfd.readouterr() == ("", "")
