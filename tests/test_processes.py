"""Processes and threads: however many work, at once or in turns, the bytes are the same."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lmcompress
from lmcompress.models.store import Model
from tests.support.command_line import TEXT

_PROGRAM = """
import json, multiprocessing, sys
import torch
import lmcompress

TEXT = {text!r}

def round_trip(model):
    frame = lmcompress.compress(TEXT, model, threads=2, lanes=2)
    is_right = lmcompress.decompress(frame, threads=2) == TEXT
    square = torch.ones(1500, 1500)
    return is_right and bool((square @ square == 1500).all())  # hangs where threads are missing

if __name__ == "__main__":
    torch.set_num_threads(2)
    assert round_trip("lmc-3m")
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(json.dumps(pool.map(round_trip, ["none", "lmc-3m"])))
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_pool_works_after_use(method: str, tmp_path: Path) -> None:
    path = tmp_path / "pool.py"  # started processes import it
    path.write_text(_PROGRAM.format(text=TEXT[:200], method=method))

    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    assert json.loads(done.stdout) == [True] * 2


def test_threads_at_once_make_the_same_bytes(tiny_model: Model) -> None:
    expected = lmcompress.compress(TEXT, tiny_model)

    def round_trip(_: int) -> bytes:
        frame = lmcompress.compress(TEXT, tiny_model)
        assert lmcompress.decompress(frame) == TEXT
        return frame

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(round_trip, range(32))) == {expected}


_REPEATED = """
import resource, sys
import lmcompress

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

raw = {text!r} * 4
for number in range({times}):
    for model in "none", "ladder-50k":
        assert lmcompress.decompress(lmcompress.compress(raw, model, lanes=2)) == raw
    if number == {times} // 4:
        before = peak()
print(peak() - before)
"""


def grown_kilobytes(times: int) -> int:
    """Returns how much the peak grows in the last three quarters of so many round trips."""
    program = _REPEATED.format(text=TEXT, times=times)
    return int(subprocess.check_output([sys.executable, "-c", program], text=True))


@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes elsewhere are other units")
def test_memory_stays_flat_over_many_files() -> None:
    # A state of the stage takes 29,000 kB: one that is kept would show.
    assert grown_kilobytes(12) < 15_000
