"""The small-product kernel gives exact sums, and steps aside where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from exactness import random_tokens, random_weights, run

from lmcompress.gpt import engine_cpu, vnni_cpu
from lmcompress.gpt.engine_cpu import CpuEngine, CpuModel

needs_vnni = pytest.mark.skipif(not vnni_cpu.is_usable(), reason="needs AVX-512 VNNI")


@needs_vnni
@pytest.mark.parametrize("num_rows", [1, 3, 4, 5, 16, 31])
@pytest.mark.parametrize(("depth", "width"), [(64, 4), (256, 1024), (1024, 12)])
def test_products_are_exact(num_rows: int, depth: int, width: int) -> None:
    rng = np.random.default_rng(num_rows)
    q = rng.integers(-127, 128, (num_rows, depth)).astype(np.int8)
    w = rng.integers(-127, 128, (width, depth)).astype(np.int8)
    q[0], w[0], w[1] = 127, 127, -127
    out = np.full((num_rows, width), -1, np.int32)

    vnni_cpu.product(q, w, vnni_cpu.offsets(w), out)

    assert np.array_equal(out, q.astype(np.int64) @ w.T.astype(np.int64))


def test_other_shapes_are_left_to_the_other_path() -> None:
    assert not vnni_cpu.fits(96, 256)
    assert not vnni_cpu.fits(256, 258)


@pytest.mark.parametrize("name", ["default-like", "gpt-1", "llama"])
def test_with_and_without_the_kernel_bits_are_equal(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = CpuModel(random_weights(name)), random_tokens(8)
    with_kernel = run(CpuEngine(model, 8, 1, 1), tokens, [1] * 40)

    monkeypatch.setattr(engine_cpu, "FUSED_ROWS", 0)
    without = run(CpuEngine(model, 8, 1, 1), tokens, [1] * 40)

    assert np.array_equal(with_kernel, without)
