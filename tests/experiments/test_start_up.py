"""What a small file does not need is not imported: PyTorch takes longer than compressing it."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lmcompress
from experiments import start_up
from lmcompress.codec.session import resolve_device
from lmcompress.gpt.cpu import matmul
from lmcompress.gpt.cpu.tiles import AVX2, NEON, VNNI, first_supported
from lmcompress.system import gpu
from tests.support.command_line import TEXT

RUN = "import sys; from lmcompress.cli.main import main; assert main(sys.argv[1:]) == 0; "
SHOW = "print(*[m for m in ('torch', 'pandas', 'matplotlib') if m in sys.modules])"


def imported_by(*argv: object) -> list[str]:
    program = [sys.executable, "-c", RUN + SHOW, *map(str, argv)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(first_supported(VNNI, AVX2, NEON) is None, reason="needs AVX2, VNNI or NEON")
@pytest.mark.skipif(gpu.has_driver(), reason="needs a machine without a GPU")
def test_decompressing_imports_no_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "a.lmc"
    path.write_bytes(lmcompress.compress(TEXT))

    assert imported_by("decompress", path) == []
    assert (tmp_path / "a").read_bytes() == TEXT


@pytest.mark.skipif(
    first_supported(VNNI, AVX2, NEON) is None or not matmul.beats_pytorch(1 << 20),
    reason="PyTorch is faster here",
)
@pytest.mark.skipif(gpu.has_driver(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("model", ["lmc-3m", "none"])
def test_compressing_imports_no_pytorch(tmp_path: Path, model: str) -> None:
    (tmp_path / "a").write_bytes(TEXT)

    assert imported_by("compress", "-m", model, tmp_path / "a") == []
    assert lmcompress.decompress((tmp_path / "a.lmc").read_bytes()) == TEXT


@pytest.mark.parametrize("has_driver", [True, False])
def test_a_gpu_is_where_driver_and_pytorch_say_so(
    has_driver: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def load(name: str) -> None:
        if not has_driver:
            raise OSError(name)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(gpu, "_ROCM_DEVICE", tmp_path / "none")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    assert resolve_device("auto") == ("cuda" if has_driver else "cpu")


def test_a_row_has_the_medians_of_its_rounds() -> None:
    times = [start_up.Times(3.0, 9.0), start_up.Times(1.0, 5.0), start_up.Times(2.0, 8.0)]

    row = start_up.row_of("x", times)

    assert row == {"what": "x", "CPU s": 2.0, "s": 8.0, "rounds": 3}


def test_work_costs_more_cpu_seconds_than_none() -> None:
    idle = [sys.executable, "-c", "import time; time.sleep(0.3)"]
    busy = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.4: pass"]

    assert start_up.time_of(idle).cpu_seconds < start_up.time_of(busy).cpu_seconds
