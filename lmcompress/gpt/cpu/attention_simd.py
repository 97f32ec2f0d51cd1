"""Attention's loops over a run of keys, in AVX2: the same bits as the plain ones.

Those take their place on processors without AVX2, and for heads whose channels are not a multiple
of 8.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from lmcompress.gpt.cpu import attention_code as code
from lmcompress.gpt.cpu.attention_plain import LOWEST, AttentionLoops
from lmcompress.gpt.cpu.kernels import BITS, MASK, TINY, f32
from lmcompress.gpt.cpu.rings import BLOCK, lay_out_keys, lay_out_values
from lmcompress.gpt.cpu.tiles import AVX2, first_supported
from lmcompress.jit.compiler import device_function, kernel

_TOGETHER = 4
"""Blocks of keys whose dot products are summed side by side."""


def fits(head_dim: int) -> bool:
    """Whether heads of so many channels can be computed here."""
    return head_dim % 8 == 0 and is_usable()


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instructions, numba may use them, and known answers come."""
    if first_supported(AVX2) is None:
        return False
    try:
        return _gives_known_answers()
    except Exception:  # another LLVM may know the instruction by another name
        return False


@functools.cache
def simd_loops(head_dim: int) -> AttentionLoops:
    """Returns the loops for heads of so many channels, a multiple of 8."""
    several, one = (code.dots(head_dim, n) for n in (_TOGETHER, 1))
    sums = code.weighted_sums(head_dim)

    @device_function
    def dots(query, magnitudes, keys, z, following):
        blocks = keys.shape[0]
        q_at, m_at, k_at, z_at = _at(query), _at(magnitudes), _at(keys), _at(z)
        whole = blocks // _TOGETHER * _TOGETHER
        several(q_at, m_at, k_at, z_at, np.int64(whole), following)
        done = whole * BLOCK * head_dim
        z_at += 4 * BLOCK * whole
        one(q_at, m_at, k_at + done, z_at, np.int64(blocks - whole), following + done)

    @device_function
    def exponents(z, scales, scale, first, stop):
        return code.exponents(_at(z), _at(scales), np.int64(z.shape[0]), scale, first, stop)

    @device_function
    def softmax(z, largest, table, scales, f):
        count = np.int64(z.shape[0])
        total, most = code.softmax(_at(z), largest, _at(table), _at(scales), _at(f), count)
        return total, max(most, TINY)

    @device_function
    def quantize(f, inverse, p):
        code.quantize(_at(f), inverse, _at(p), np.int64(f.shape[0]))

    @device_function
    def add_values(p, values, acc, following):
        sums(_at(p), _at(values), _at(acc), np.int64(values.shape[0]), following)

    return AttentionLoops(dots, exponents, softmax, quantize, add_values)


@device_function
def _at(array):
    return array.ctypes.data


_KNOWN_CHANNELS = 16


def _gives_known_answers() -> bool:
    """Whether the loops give what NumPy does, on factors as large as there can be."""
    rng, blocks, D = np.random.default_rng(1), _TOGETHER + 2, _KNOWN_CHANNELS
    n = blocks * BLOCK
    keys, values = (rng.choice([-127, 127, 1], (n, D)).astype(np.int8) for _ in range(2))
    query = rng.choice([-127, 127], D).astype(np.int8)
    scales, table = rng.random(n, np.float32), rng.integers(1 << 15, 1 << 16, 1 << BITS)
    table, first, stop = table.astype(np.int32), 3, n - 2
    laid_out = lay_out_keys(keys), scales, lay_out_values(values), table
    found = run_loops(simd_loops(D), query, *laid_out, first, stop)

    dots = keys.astype(np.int32) @ query.astype(np.int32)
    z = np.rint(dots.astype(np.float32) * f32(1 / 64) * scales).astype(np.int32)
    z[:first] = z[stop:] = LOWEST
    delta = z.max() - z
    e = table[delta & MASK] >> np.minimum(delta >> BITS, 31)
    f = e.astype(np.float32) * scales
    p = np.rint(f * (f32(2047) / f.max())).astype(np.int32)
    expected = dots, z.max(), e.sum(), f.max(), z, f, p, p @ values
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def run_loops(
    loops: AttentionLoops,
    query: Any, keys: Any, scales: Any, values: Any, table: Any, first: int, stop: int,
) -> tuple[Any, ...]:  # fmt: skip
    """Returns what the loops of one run give, in turn: dot products, exponents, .., sums."""
    dots, exponents, softmax, quantize, add_values = loops

    @kernel
    def run(query, magnitudes, keys, scales, values, table, first, stop, z, f, p, acc, used):
        dots(query, magnitudes, keys, z, values.ctypes.data)
        before = z.copy()
        largest = exponents(z, scales, np.float32(1 / 64), first, stop)
        total, most = softmax(z, largest, table, scales, f)
        quantize(f, np.float32(2047) / most, p)
        add_values(p, values, acc, keys.ctypes.data)
        used[0] = magnitudes.size + keys.size + values.size  # keeps them alive until here
        return before, largest, total, most

    n = len(scales)
    z, f, p = np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.int16)
    acc, args = np.zeros(len(query), np.int32), (query, np.abs(query), keys, scales, values, table)
    found = run(*args, first, stop, z, f, p, acc, np.empty(1, np.int64))
    return *found, z, f, p, acc
