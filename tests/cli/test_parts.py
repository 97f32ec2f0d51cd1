"""Less than the whole file: --range, --salvage, --resume, and limits."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import lmcompress
from lmcompress.cli.parts import ByteRange, _read_range
from lmcompress.format.index import places
from tests.support.command_line import TEXT, Result, Run, assert_one_line_error, names

SEGMENTS = ("--segment-bytes", 100)


@pytest.fixture
def compressed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of segments of 100 bytes in the present folder."""
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(TEXT)
    assert run("compress", "a", "-m", "none", *SEGMENTS).code == 0
    return Path("a.lmc")


def damage(path: Path, number: int) -> None:
    """Changes a byte of the payload of a segment."""
    with path.open("rb") as file:
        offset = list(places(file))[number].offset
    data = bytearray(path.read_bytes())
    data[offset + 5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(("start", "length"), [(0, 10), (250, 200), (510, 500), (len(TEXT), 5)])
def test_a_range_is_that_part_of_the_original(
    run: Run, compressed: Path, start: int, length: int
) -> None:
    result = run("decompress", "--range", f"{start}:{length}", "-c", compressed)

    assert (result.code, result.stdout) == (0, TEXT[start : start + length])


def test_a_range_is_whole_where_a_sink_takes_a_part_at_a_time(compressed: Path) -> None:
    class SlowSink(io.RawIOBase):
        taken = b""

        def write(self, data: Any) -> int:
            self.taken += bytes(data[:7])
            return min(7, len(data))

    sink, config = SlowSink(), lmcompress.CodecConfig()
    with compressed.open("rb") as source:
        _read_range(ByteRange(50, 300), source, sink, config, None, None)

    assert sink.taken == TEXT[50:350]


def test_a_range_needs_only_its_segments_to_be_whole(run: Run, compressed: Path) -> None:
    damage(compressed, 2)

    assert run("decompress", "--range", "300:50", "-c", compressed).stdout == TEXT[300:350]
    assert_one_line_error(run("decompress", "--range", "250:50", "-c", compressed), "damaged")


def test_a_range_beyond_the_end_is_refused(run: Run, compressed: Path) -> None:
    result = run("decompress", "--range", "1K:1", "-c", compressed)

    assert_one_line_error(result, f"holds {len(TEXT)} bytes", "starts at 1,024")


def test_salvage_writes_what_is_whole_and_says_what_is_missing(run: Run, compressed: Path) -> None:
    damage(compressed, 2)

    result = run("decompress", "--salvage", "-f", compressed)

    assert result.code == 3
    assert "a.lmc: bytes from 200 to 300 are missing: the payload" in result.stderr
    assert result.stderr.endswith(": get the file again\n")  # without advice to salvage it
    assert Path("a").read_bytes() == TEXT[:200] + TEXT[300:]


def test_salvage_of_a_whole_file_is_decompression(run: Run, compressed: Path) -> None:
    assert run("decompress", "--salvage", "-c", compressed) == Result(0, TEXT, "")


def test_if_nothing_is_whole_salvage_writes_nothing(run: Run, compressed: Path) -> None:
    data = bytearray(compressed.read_bytes())
    data[6] ^= 1
    compressed.write_bytes(data)

    result = run("decompress", "--salvage", compressed, "-o", "b")

    assert_one_line_error(result, "nothing of it is whole")
    assert names(Path()) == ["a", "a.lmc"]


@pytest.mark.parametrize(
    "args",
    [
        ("--range", "0:1"),
        ("--range", "0:1", "--salvage", "-c"),
        ("--range", "5", "-c"),
        ("--salvage", "--rm"),
    ],
)
def test_options_that_do_not_agree_are_wrong_usage(
    run: Run, compressed: Path, args: tuple[str, ...]
) -> None:
    assert run("decompress", *args, compressed).code == 2


def test_limits_are_options(run: Run, compressed: Path) -> None:
    too_long = run("decompress", "-c", "--output-limit", 500, compressed)
    assert (too_long.code, too_long.stdout) == (1, TEXT[:500])
    assert "--output-limit" in too_long.stderr
    assert_one_line_error(run("test", "--memory-limit", "1M", compressed), "--memory-limit")
    assert_one_line_error(
        run("compress", "a", "-m", "none", "-o", "b", "--memory-limit", "1M"), "--memory-limit"
    )


def begin(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Starts a compression that can be resumed, in a process of its own."""
    command = [sys.executable, "-m", "lmcompress", "compress", "-m", "none", "--resume", "long"]
    return subprocess.Popen([*command, "--segment-bytes", "2K", *options], cwd=folder)


def test_a_killed_compression_goes_on_to_the_same_bytes(run: Run, tmp_path: Path) -> None:
    raw = b"".join(b"%d, " % (number * number) for number in range(12_000))
    (tmp_path / "long").write_bytes(raw)
    child = begin(tmp_path)
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        found = list(tmp_path.glob("*.unfinished"))
        if found and found[0].stat().st_size > 4000:
            child.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
            break
        time.sleep(0.002)
    child.wait()
    [unfinished] = tmp_path.glob("*.unfinished")
    assert not (tmp_path / "long.lmc").exists()
    kept = unfinished.stat().st_size

    assert begin(tmp_path).wait() == 0

    expected = lmcompress.compress(raw, "none", segment_bytes=2048)
    assert kept < len(expected)
    assert (tmp_path / "long.lmc").read_bytes() == expected
    assert names(tmp_path) == ["long", "long.lmc"]


def test_what_is_unfinished_belongs_to_input_and_options(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(TEXT)
    Path("a.lmc.0123456789abcdef.unfinished").write_bytes(b"")

    result = run("compress", "--resume", "-m", "none", "a")

    assert_one_line_error(result, "a.lmc.0123456789abcdef.unfinished", "remove it")
    Path("a.lmc.0123456789abcdef.unfinished").rename("a.lmc.b.lmc.0123456789abcdef.unfinished")
    assert run("compress", "--resume", "-m", "none", "a").code == 0  # that is of another file
    assert run("compress", "--resume", "-c", "a").code == 2
    assert run("compress", "--resume", "--compact", "a").code == 2
