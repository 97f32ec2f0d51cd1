"""Where the cache is. On Linux it must not move: models and kernels of users are there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lmcompress.system.cache import cache_home


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other places")
@pytest.mark.parametrize(
    ("xdg", "expected"),
    [("/xdg", "/xdg/lmcompress"), ("", "/home/ada/.cache/lmcompress")],
    ids=["XDG_CACHE_HOME", "HOME"],
)
def test_the_cache_is_where_the_environment_says(
    xdg: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)

    assert cache_home() == Path(expected)
