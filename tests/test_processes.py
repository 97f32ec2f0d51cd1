"""Pools of processes work, whatever the parent did before, with each way to start them."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

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
