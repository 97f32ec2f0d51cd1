"""Attention's loops over a run of keys, in AVX-512 VNNI or AVX2: the same bits as the plain ones.

Those take their place on processors with neither, and for heads whose channels are not a multiple
of 8.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lmcompress.gpt.cpu import attention_avx2 as avx2
from lmcompress.gpt.cpu import attention_vnni as vnni
from lmcompress.gpt.cpu import attention_weights as weights
from lmcompress.gpt.cpu.attention_plain import LOWEST, AttentionLoops
from lmcompress.gpt.cpu.kernels import BITS, MASK, TINY, f32
from lmcompress.gpt.cpu.rings import BLOCK, HAS_VNNI, lay_out_keys, lay_out_values
from lmcompress.gpt.cpu.tiles import AVX2, VNNI, first_supported
from lmcompress.jit.compiler import device_function, kernel

_QUERIES = 4
"""Queries that VNNI's products take at once: they read keys and values together."""


def fits(head_dim: int) -> bool:
    """Whether heads of so many channels can be computed here."""
    return head_dim % 8 == 0 and is_usable()


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instructions, numba may use them, and known answers come."""
    if first_supported(VNNI, AVX2) is None:
        return False
    try:
        return _gives_known_answers()
    except Exception:  # another LLVM may know the instruction by another name
        return False


@functools.cache
def simd_loops(head_dim: int) -> AttentionLoops:
    """Returns the loops for heads of so many channels, a multiple of 8."""
    products = (_vnni_products if HAS_VNNI else _avx2_products)(head_dim)
    exponents_of, softmax_of = weights.exponents(BLOCK), weights.softmax(BLOCK)
    quantized = weights.quantize(BLOCK, in_planes=HAS_VNNI)

    @device_function
    def exponents(z, scales, scale, first, stop):
        return exponents_of(_at(z), _at(scales), np.int64(z.shape[0]), scale, first, stop)

    @device_function
    def softmax(z, largest, table, scales, f):
        count = np.int64(z.shape[0])
        total, most = softmax_of(_at(z), largest, _at(table), _at(scales), _at(f), count)
        return total, max(most, TINY)

    @device_function
    def quantize(f, inverse, p):
        quantized(_at(f), inverse, _at(p), np.int64(f.shape[0]))

    return AttentionLoops(
        products.queries, products.dots, exponents, softmax, quantize, products.add_values
    )


class _Products(NamedTuple):
    queries: int
    dots: Callable[..., Any]
    add_values: Callable[..., Any]


def _avx2_products(head_dim: int) -> _Products:
    products, sums = avx2.dots(head_dim), avx2.weighted_sums(head_dim)

    @device_function
    def dots(queries, magnitudes, keys, z):
        blocks = np.int64(keys.shape[0])
        products(_at(queries), _at(magnitudes), _at(keys), _at(z), blocks)

    @device_function
    def add_values(p, values, acc):
        sums(_at(p), _at(values), _at(acc), np.int64(values.shape[0]))

    return _Products(1, dots, add_values)


def _vnni_products(head_dim: int) -> _Products:
    together = _QUERIES
    products, products_of_one = (vnni.dots(head_dim, n) for n in (together, 1))
    sums, sums_of_one = (vnni.weighted_sums(head_dim, n) for n in (together, 1))

    @device_function
    def dots(queries, _magnitudes, keys, z):
        q, k, z_at, row = _at(queries), _at(keys), _at(z), z.strides[0]
        blocks = np.int64(keys.shape[0])
        if queries.shape[0] == together:
            products(q, k, z_at, row, blocks)
        else:
            for i in range(queries.shape[0]):
                products_of_one(q + i * head_dim, k, z_at + i * row, row, blocks)

    @device_function
    def add_values(p, values, acc):
        p_at, v, acc_at, row = _at(p), _at(values), _at(acc), p.strides[0]
        count = np.int64(values.shape[0])
        if p.shape[0] == together:
            sums(p_at, row, v, acc_at, count)
        else:
            for i in range(p.shape[0]):
                sums_of_one(p_at + i * row, row, v, acc_at + 4 * head_dim * i, count)

    return _Products(together, dots, add_values)


@device_function
def _at(array):
    return array.ctypes.data


_KNOWN_CHANNELS = 16


def _gives_known_answers() -> bool:
    """Whether the loops give what NumPy does, on factors as large as there can be."""
    rng, n, D = np.random.default_rng(1), 6 * BLOCK, _KNOWN_CHANNELS
    keys, values = (rng.choice([-127, 127, 1], (n, D)).astype(np.int8) for _ in range(2))
    queries = rng.choice([-127, 127], (_QUERIES + 1, D)).astype(np.int8)
    scales, table = rng.random(n, np.float32), rng.integers(1 << 15, 1 << 16, 1 << BITS)
    table, first, stop = table.astype(np.int32), 3, n - 2
    laid_out = lay_out_keys(keys), scales, lay_out_values(values), table
    found = run_loops(simd_loops(D), queries, *laid_out, first, stop)
    dots = queries.astype(np.int32) @ keys.T.astype(np.int32)
    z = np.rint(dots.astype(np.float32) * f32(1 / 64) * scales).astype(np.int32)
    z[:, :first] = z[:, stop:] = LOWEST
    largest = z.max(1, keepdims=True)
    delta = largest - z
    e = table[delta & MASK] >> np.minimum(delta >> BITS, 31)
    f = e.astype(np.float32) * scales
    p = np.rint(f * (f32(2047) / f.max(1, keepdims=True))).astype(np.int32)
    expected = dots, largest[:, 0], e.sum(1), f.max(1), z, f, as_laid_out(p), p @ values
    return all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def as_laid_out(p: Any) -> Any:
    """Returns weights (Q, n) as `quantize` lays them out."""
    if not HAS_VNNI:
        return p
    lower, upper = ((p >> bits & 255).reshape(-1, 4) for bits in (0, 8))
    return np.hstack([lower, upper]).astype(np.uint8).view(np.int16).reshape(p.shape)


def run_loops(
    loops: AttentionLoops,
    queries: Any, keys: Any, scales: Any, values: Any, table: Any, first: int, stop: int,
) -> tuple[Any, ...]:  # fmt: skip
    """Returns what the loops of one run give, in turn: dot products, exponents, .., sums."""
    together, dots, exponents, softmax, quantize, add_values = loops

    @kernel
    def run(queries, magnitudes, keys, scales, values, table, first, stop, numbers, z, f, p, acc):
        largest, total, most = numbers
        before = np.empty_like(z)
        for a in range(0, queries.shape[0], together):
            b = min(a + together, queries.shape[0])
            dots(queries[a:b], magnitudes[a:b], keys, z[a:b])
            before[a:b] = z[a:b]
            for i in range(a, b):
                largest[i] = exponents(z[i], scales, np.float32(1 / 64), first, stop)
                total[i], most[i] = softmax(z[i], largest[i], table, scales, f[i])
                quantize(f[i], np.float32(2047) / most[i], p[i])
            add_values(p[a:b], values, acc[a:b])
        return before

    count, n = len(queries), len(scales)
    numbers = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.float32)
    z, f, p = (np.empty((count, n), dtype) for dtype in (np.int32, np.float32, np.int16))
    acc, args = np.zeros(queries.shape, np.int32), (queries, np.abs(queries), keys, scales, values)
    before = run(*args, table, first, stop, numbers, z, f, p, acc)
    return before, *numbers, z, f, p, acc
