"""An input that changes while it is read gives a file, a line on stderr and exit code 1."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

import lmcompress
from lmcompress.codec import stream
from tests.support.command_line import TEXT, Run


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def truncate(path: Path) -> None:
    os.truncate(path, 10)


def rewrite(path: Path) -> None:
    path.write_bytes(b"X" * len(TEXT))
    os.utime(path, ns=(0, 0))


def change_after_first_read(
    path: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes a file once a part of it has been read."""
    read_fully, reads = stream.read_fully, itertools.count()

    def read_and_change(source: BinaryIO, size: int) -> bytes:
        raw = read_fully(source, size)
        if next(reads) == 0:
            change(path)
        return raw

    monkeypatch.setattr(stream, "read_fully", read_and_change)


@pytest.mark.parametrize("change", [append, truncate, rewrite])
@pytest.mark.parametrize("to_stdout", [False, True])
def test_a_change_is_told(
    run: Run,
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    to_stdout: bool,
) -> None:
    change_after_first_read(text_file, change, monkeypatch)

    result = run("compress", "-m", "none", "--segment-bytes", 100, text_file, *["-c"] * to_stdout)

    assert result.code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"lmcompress: {text_file}: the file changed while it was read")
    output = result.stdout if to_stdout else Path(f"{text_file}.lmc").read_bytes()
    assert lmcompress.decompress(output)[:100] == TEXT[:100]


def test_the_next_file_is_compressed_all_the_same(
    run: Run, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = text_file.with_name("other.txt")
    other.write_bytes(TEXT)
    change_after_first_read(text_file, append, monkeypatch)

    result = run("compress", "-m", "none", text_file, other)

    assert result.code == 1
    assert len(result.stderr.splitlines()) == 1
    assert lmcompress.decompress(Path(f"{other}.lmc").read_bytes()) == TEXT
