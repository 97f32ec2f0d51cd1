"""What stands in on the emulated processor writes what the real one does."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lmcompress import range_coder
from lmcompress.range_coder import PRECISION_BITS, RangeEncoder
from tools import aarch64

FOLDER = Path(aarch64.__file__).parent
CAN_EMULATE = bool(shutil.which("qemu-aarch64-static") and shutil.which("dpkg-deb"))


@pytest.mark.parametrize("sure", [1, 1 << 10, (1 << PRECISION_BITS) - 512])
def test_the_stand_in_for_constriction_writes_the_same_bytes(
    sure: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(sure)
    freqs = rng.integers(0, 2, (1000, 256)).astype(np.float32)
    freqs[:, 7] = 0
    freqs[:, 7] = (1 << PRECISION_BITS) - 256 - freqs.sum(1)
    is_sure = rng.random(1000) < 1 - sure / (1 << PRECISION_BITS)
    symbols = np.where(is_sure, 7, rng.integers(0, 256, 1000)).astype(np.int32)
    expected = list(sealed(symbols, freqs))

    spec = importlib.util.spec_from_file_location("stand_in", FOLDER / "stand_ins/constriction.py")
    assert spec
    assert spec.loader
    stand_in = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stand_in)
    monkeypatch.setattr(range_coder, "constriction", stand_in)
    monkeypatch.setattr(range_coder, "_family", lambda: None)

    assert list(sealed(symbols, freqs)) == expected


def sealed(symbols: np.ndarray, freqs: np.ndarray) -> Iterator[tuple[bytes, bytes]]:
    """Yields what an encoder has written after each symbol, sealed in both ways."""
    encoder = RangeEncoder()
    for i in range(len(symbols)):
        encoder.encode(symbols[i : i + 1], freqs[i : i + 1])
        yield encoder.short_payload(), encoder.payload()


@pytest.mark.slow
@pytest.mark.skipif(not CAN_EMULATE or os.getuid() != 0, reason="needs Debian, qemu-user-static")
def test_files_are_the_same_on_an_emulated_arm_processor(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "tools.aarch64", str(tmp_path)], check=True)
