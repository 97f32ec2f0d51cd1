"""Attention's loops by instructions give the bits of the plain ones, and those the right sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lmcompress.gpt import constants
from lmcompress.gpt.cpu import attention_simd
from lmcompress.gpt.cpu.attention import attention_kernels
from lmcompress.gpt.cpu.attention_plain import PLAIN_LOOPS
from lmcompress.gpt.cpu.attention_simd import as_laid_out, run_loops, simd_loops
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.rings import BLOCK, lay_out_keys, lay_out_values
from lmcompress.gpt.cpu.tiles import AVX2, VNNI, first_supported
from lmcompress.gpt.tables import exp2_table
from tests.support.exactness import random_tokens, random_weights, run

TABLE = exp2_table(constants.ATTENTION_SCALE_BITS).astype(np.int32)
needs_instructions = pytest.mark.skipif(
    first_supported(VNNI, AVX2) is None, reason="needs AVX2 or AVX-512 VNNI"
)


def random_run(
    head_dim: int, blocks: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], npt.NDArray[np.int8], tuple[Any, ...]]:
    """Returns keys and values (n, D), queries (6, D), and the same as the loops take them."""
    rng = np.random.default_rng(head_dim * blocks)
    n = blocks * BLOCK
    keys, values = (rng.integers(-127, 128, (n, head_dim)).astype(np.int8) for _ in range(2))
    queries = rng.integers(-127, 128, (6, head_dim)).astype(np.int8)
    keys[0], values[:4], queries[:, :2] = -127, 127, (127, -127)
    scales = (rng.random(n) / 64).astype(np.float32)
    laid_out = queries, lay_out_keys(keys), scales, lay_out_values(values), TABLE
    return keys, values, queries, laid_out


@pytest.mark.parametrize("head_dim", [8, 64])
def test_plain_loops_give_the_right_sums(head_dim: int) -> None:
    keys, values, queries, laid_out = random_run(head_dim, 3)

    n = len(keys)
    dots, *_, z, f, p, acc = run_loops(PLAIN_LOOPS, *laid_out, 2, n - 3)

    assert np.array_equal(dots, queries.astype(np.int64) @ keys.T)
    assert np.array_equal(acc, p.astype(np.int64) @ values)
    assert not p[:, :2].any()  # not seen
    assert not p[:, n - 3 :].any()
    assert (p.max(1) == 2047).all()
    assert np.array_equal(np.argmax(np.where(p == 2047, f, 0), 1), np.argmax(f, 1))
    assert (np.argmax(z, 1) >= 2).all()
    assert (np.argmax(z, 1) < n - 3).all()


@needs_instructions
@pytest.mark.parametrize("blocks", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("head_dim", [8, 16, 40, 64, 80, 128, 256])
def test_loops_by_instructions_give_the_bits_of_the_plain_ones(head_dim: int, blocks: int) -> None:
    *_, laid_out = random_run(head_dim, blocks)
    n = BLOCK * blocks
    for first, stop in ((0, n), (7, n), (3, n - 2), (0, 1)):
        *rest, p, acc = run_loops(PLAIN_LOOPS, *laid_out, first, stop)
        fast = run_loops(simd_loops(head_dim), *laid_out, first, stop)
        for a, b in zip((*rest, as_laid_out(p), acc), fast, strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("name", ["default-like", "llama"])
def test_without_the_instructions_bits_are_equal(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, tokens, cuts = random_weights(name), random_tokens(3), [30, 1, 9]
    with_instructions = run(CpuEngine(CpuModel(weights), 3, max(cuts), 1), tokens, cuts)

    monkeypatch.setattr(attention_simd, "is_usable", lambda: False)
    attention_kernels.cache_clear()
    plain = CpuModel(weights)
    attention_kernels.cache_clear()

    assert np.array_equal(run(CpuEngine(plain, 3, max(cuts), 1), tokens, cuts), with_instructions)
