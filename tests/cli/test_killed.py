"""A compression that is killed leaves a whole file or none, and the next run cleans up."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmcompress.format.file import read_frames
from tests.support.command_line import TEXT, Run, names

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX's signals and locks")

KILLS = 20
SEGMENT_BYTES = 1000
"""Small, so that there is much to write."""


def compress(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lmcompress", "compress", "-m", "none", "-f", "raw"]
    return subprocess.Popen([*command, "--segment-bytes", str(SEGMENT_BYTES)], cwd=folder)


def kill_after(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> None:
    """Kills a process some time after its first file appears."""
    before = set(names(folder))
    while process.poll() is None and set(names(folder)) == before:
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


def is_whole(path: Path, raw_bytes: int) -> bool:
    with path.open("rb") as source:
        frames = read_frames(source, skip_payloads=True)
        return sum(segment.raw_bytes for reader in frames for segment, _ in reader) == raw_bytes


def test_a_killed_compression_leaves_a_whole_file_or_none(tmp_path: Path) -> None:
    raw = (TEXT * 40)[:40_000]
    (tmp_path / "raw").write_bytes(raw)
    drawn, out = random.Random(1), tmp_path / "raw.lmc"
    found = []
    for _ in range(KILLS):
        kill_after(compress(tmp_path), tmp_path, drawn.uniform(0, 0.8))
        found.append(out.exists())
        assert not out.exists() or is_whole(out, len(raw))
        out.unlink(missing_ok=True)

    left = set(names(tmp_path)) - {"raw"}
    assert left, "no process was killed while it wrote"
    assert all(name.startswith(".lmc-") and name.endswith(".tmp") for name in left)
    for name in left:
        os.utime(tmp_path / name, (1, 1))
    assert compress(tmp_path).wait() == 0
    assert names(tmp_path) == ["raw", "raw.lmc"]
    assert is_whole(out, len(raw))


@pytest.mark.parametrize(("option", "expected"), [([], {"file", "folder"}), (["--no-sync"], set())])
def test_files_are_synced_unless_told_otherwise(
    option: list[str],
    expected: set[str],
    run: Run,
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synced = set()

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.add("folder" if is_folder else "file")

    monkeypatch.setattr(os, "fsync", fsync)
    frame = text_file.with_name("book.txt.lmc")

    assert run("compress", text_file, "-m", "none", *option).code == 0
    assert synced == expected
    synced.clear()
    assert run("decompress", frame, "-f", *option).code == 0
    assert synced == expected
