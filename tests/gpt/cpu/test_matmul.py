"""The integer products give exact sums, and step aside where they cannot."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lmcompress.gpt.cpu import matmul, matmul_int16
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.tiles import AVX2, VNNI, first_supported
from lmcompress.gpt.reference_engine import TorchEngine
from tests.support.exactness import random_tokens, random_weights, run

needs_instructions = pytest.mark.skipif(
    first_supported(VNNI, AVX2) is None, reason="needs AVX2 or AVX-512 VNNI"
)


@needs_instructions
@pytest.mark.parametrize("num_rows", [*range(1, 17), 31, 100])
@pytest.mark.parametrize(("depth", "width"), [(4, 16), (256, 1024), (1020, 48), (4096, 16)])
@pytest.mark.parametrize("lowest", [-127, 0])
def test_products_are_exact(num_rows: int, depth: int, width: int, lowest: int) -> None:
    rng = np.random.default_rng(num_rows)
    q = rng.integers(lowest, 128, (num_rows, depth)).astype(np.int8)
    w = rng.integers(-127, 128, (width, depth)).astype(np.int8)
    q[0], q[-1], w[0], w[1] = 127, lowest, 127, -127
    out = np.full((num_rows, width), -1, np.int32)

    matmul.product(q, matmul.pack(w), lowest == 0, out)

    assert np.array_equal(out, q.astype(np.int64) @ w.T.astype(np.int64))


def test_other_shapes_are_left_to_the_other_path() -> None:
    assert not matmul.fits(np.zeros((256, 258), np.int8))
    assert not matmul.fits(np.zeros((264, 256), np.int8))


def test_a_weight_without_an_opposite_gives_the_reference_bits() -> None:
    weights, tokens = random_weights("default-like"), random_tokens(2)
    for name, array in weights.arrays.items():
        if name.endswith(".q"):
            array.flags.writeable = True
            array[0, :4] = -128  # as no quantization here gives, but a file may hold

    found = run(CpuEngine(CpuModel(weights), 2, 40, 1), tokens, [40])

    assert np.array_equal(found, run(TorchEngine(weights, "cpu"), tokens, [40]))


@needs_instructions
@pytest.mark.parametrize("num_rows", [*range(1, 17), 100])
@pytest.mark.parametrize(("depth", "width"), [(4, 16), (52, 1024), (1536, 48)])
def test_products_of_16_bit_inputs_are_rounded_exact_sums(
    num_rows: int, depth: int, width: int
) -> None:
    rng = np.random.default_rng(num_rows)
    q = rng.integers(-2047, 2048, (num_rows, depth)).astype(np.float32)
    w = rng.integers(-127, 128, (width, depth)).astype(np.int8)
    q[0], w[0], w[1] = 2047, 127, -127
    q[0, 0] = 2046  # a sum of odd 127s, which float32 does not hold
    out = np.full((num_rows, width), -1, np.float32)

    matmul_int16.product(q, matmul_int16.pack(w), out)

    sums = q.astype(np.int64) @ w.T.astype(np.int64)
    assert np.array_equal(out, sums.astype(np.float32))
    assert depth < 1536 or np.any(sums != out.astype(np.int64))  # some were rounded


def test_wide_inputs_whose_sums_could_overflow_are_left_to_the_other_path() -> None:
    assert not matmul_int16.fits(1024, 16, 2047, 1 << 31)
    assert not matmul_int16.fits(25, 16, 2047, 1 << 20)
    assert not matmul_int16.fits(32, 24, 2047, 1 << 20)
    assert not matmul_int16.fits(32, 16, 32768, 1 << 20)


@needs_instructions
@pytest.mark.parametrize("bits", [9, 12, 16])
def test_wide_inputs_give_equal_bits_with_and_without_the_kernel(
    bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = random_weights("llama")
    config = dataclasses.replace(weights.config, activation_bits=bits)
    weights, tokens = dataclasses.replace(weights, config=config), random_tokens(8)
    with_kernel = run(CpuEngine(CpuModel(weights), 8, 40, 1), tokens, [40])

    monkeypatch.setattr(matmul_int16, "fits", lambda *shape: False)
    without = run(CpuEngine(CpuModel(weights), 8, 40, 1), tokens, [40])

    assert np.array_equal(with_kernel, without)


@pytest.mark.parametrize("cuts", [[1] * 40, [40]], ids=["steps", "one pass"])
@pytest.mark.parametrize("name", ["default-like", "gpt-1", "llama"])
def test_with_and_without_the_kernel_bits_are_equal(
    name: str, cuts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = CpuModel(random_weights(name)), random_tokens(8)
    with_kernel = run(CpuEngine(model, 8, max(cuts), 1), tokens, cuts)

    monkeypatch.setattr(matmul, "beats_pytorch", lambda num_rows: False)
    without = run(CpuEngine(model, 8, max(cuts), 1), tokens, cuts)

    assert np.array_equal(with_kernel, without)


def run_as_vnni(what: str, folder: Path, **environment: str) -> str:
    script = Path(__file__).parents[2] / "support" / "vnni_code.py"
    environment |= {"NUMBA_CACHE_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, str(script), what],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86 instructions")


@x86_only
def test_vnni_kernels_are_exact_but_for_the_instructions_themselves(tmp_path: Path) -> None:
    assert run_as_vnni("emulate", tmp_path) == ""


@x86_only
def test_vnni_products_compile_to_the_instruction(tmp_path: Path) -> None:
    features = "+avx512f,+avx512vl,+avx512vnni,+avx2"
    target = {"NUMBA_CPU_NAME": "icelake-server", "NUMBA_CPU_FEATURES": features}

    found = int(run_as_vnni("compile", tmp_path, **target))

    assert found >= 8 + 4 + 1  # tiles of eight rows, of four and of one, some of them unrolled
