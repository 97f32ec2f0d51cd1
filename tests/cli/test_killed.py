"""A compression that is killed leaves a whole file or none, and the next run cleans up."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmcompress.format.file import read_frames
from tests.support.command_line import TEXT, Run, names

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX's signals and locks")

KILLS = 20
SEGMENT_BYTES = 1000
"""Small, so that there is much to write."""
RAW = (TEXT * 40)[:12_000]


ARGV = ["compress", "-q", "-m", "none", "-f", "--segment-bytes", str(SEGMENT_BYTES), "raw"]
SERVER = f"""
import os, sys, time
from lmcompress.cli.main import main
for _ in range(2):  # what follows starts at once, with all that this has loaded
    started = time.monotonic()
    assert main({ARGV!r}) == 0
os.unlink("raw.lmc")
print(time.monotonic() - started, flush=True)
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(main({ARGV!r}))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that compresses `raw` in a new process whenever it gets a line.

    Its first line says how many seconds that takes.
    """
    (tmp_path / "raw").write_bytes(RAW)
    command = [sys.executable, "-c", SERVER]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1
    ) as process:
        yield process


def kill_after(seconds: float, server: subprocess.Popen[str]) -> None:
    """Has the server compress, and kills that after some time."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    child = int(server.stdout.readline())
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.kill(child, signal.SIGKILL)
    assert server.stdout.readline() == "ended\n"


def is_whole(path: Path, raw_bytes: int) -> bool:
    with path.open("rb") as source:
        frames = read_frames(source, skip_payloads=True)
        return sum(segment.raw_bytes for reader in frames for segment, _ in reader) == raw_bytes


def test_a_killed_compression_leaves_a_whole_file_or_none(
    server: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert server.stdout is not None
    usual_seconds = float(server.stdout.readline())
    drawn, out = random.Random(1), tmp_path / "raw.lmc"
    for _ in range(KILLS):
        kill_after(drawn.uniform(0, 1.2) * usual_seconds, server)
        assert not out.exists() or is_whole(out, len(RAW))
        out.unlink(missing_ok=True)

    left = set(names(tmp_path)) - {"raw"}
    assert left, "no process was killed while it wrote"
    assert all(name.startswith(".lmc-") and name.endswith(".tmp") for name in left)
    for name in left:
        os.utime(tmp_path / name, (1, 1))
    subprocess.run([sys.executable, "-m", "lmcompress", *ARGV], cwd=tmp_path, check=True)
    assert names(tmp_path) == ["raw", "raw.lmc"]
    assert is_whole(out, len(RAW))


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
