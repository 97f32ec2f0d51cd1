"""Calling the command line in process, and what tests of it share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

TEXT = b"It was the best of times,\r\nit was the worst of times; the age of wisdom. " * 8
"""Text that the tiny model codes rather than stores."""


class Result(NamedTuple):
    code: int
    stdout: bytes
    stderr: str


Run = Callable[..., Result]


def names(folder: Path) -> list[str]:
    """Returns what is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def assert_one_line_error(result: Result, *expected: str) -> None:
    """Exit code 1, nothing on stdout, one line on stderr with all of `expected` in it."""
    assert (result.code, result.stdout) == (1, b"")
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("lmcompress: ")
    for part in expected:
        assert part in lines[0]
