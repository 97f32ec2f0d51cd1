"""Attention's sums by instructions are those of the plain loops, for every length."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lmcompress.gpt.cpu import attention_simd
from lmcompress.gpt.cpu.attention import attention_kernels
from lmcompress.gpt.cpu.engine import CpuEngine, CpuModel
from lmcompress.jit.compiler import kernel
from tests.support.exactness import random_tokens, random_weights, run

COUNTS = (0, 1, 2, 3, 7, 8, 9, 64, 511)


def call(function: Any, *arrays: npt.NDArray[Any]) -> None:
    """Calls one of the module's functions, which only kernels can."""

    @kernel
    def caller(a, b, c):  # type: ignore[no-untyped-def]
        function(a, b, c)
        return a.size + b.size + c.size

    caller(*arrays)


@pytest.mark.parametrize("head_dim", [8, 16, 32, 48, 64, 80, 128, 256])
def test_sums_are_exact(head_dim: int) -> None:
    rng = np.random.default_rng(head_dim)
    dots = attention_simd.dot_products(head_dim)
    add = attention_simd.weighted_sum(head_dim)
    for count in COUNTS:
        keys = rng.integers(-127, 128, (count, head_dim)).astype(np.int8)
        query = rng.integers(-127, 128, head_dim).astype(np.int16)
        weights = rng.integers(0, 2048, count).astype(np.int16)
        keys[:1], query[:1], weights[:1] = -127, 127, 2047
        z, acc = np.full(count, 7, np.int32), np.full(head_dim, 7, np.int32)

        call(dots, query, keys, z)
        call(add, weights, keys, acc)

        wide = keys.astype(np.int64)
        assert np.array_equal(z, wide @ query)
        assert np.array_equal(acc, 7 + weights @ wide)


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
