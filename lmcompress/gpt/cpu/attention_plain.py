"""The loops of attention over a run of keys, which `attention.py` puts together.

A run begins and ends where blocks of keys do; positions outside the window get an exponent so low
that their weight is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lmcompress.gpt.cpu.kernels import BITS, MAGIC, MASK, MAX_EXPONENT, f32, largest_of
from lmcompress.gpt.cpu.rings import BLOCK, FLIP, TUPLE
from lmcompress.jit.compiler import device_function

LOWEST = -(1 << 30)
"""The exponent of what is not seen: 2 to it is 0 on any table's scale."""


class AttentionLoops(NamedTuple):
    """What queries do with the n slots of a run, in the order of the calls."""

    queries: int
    """How many of them read keys and values together, at most: the first and the last loop's."""
    dots: Callable[..., Any]
    """dots(queries, magnitudes, keys, z): z int32 (Q, n) = int8 queries (Q, D) times the keys."""
    exponents: Callable[..., Any]
    """exponents(z, scales, scale, first, stop) makes z (n,) steps of 2**-EXP2_BITS, those before
    first and from stop on LOWEST; returns the largest."""
    softmax: Callable[..., Any]
    """softmax(z, largest, table, scales, f): f float32 (n,) = scales times e = 2**(z - largest) on
    the table's scale; returns the sum of e and the largest f, TINY at least."""
    quantize: Callable[..., Any]
    """quantize(f, inverse, p): p int16 (n,) = round(f * inverse), laid out for `add_values`."""
    add_values: Callable[..., Any]
    """add_values(p, values, acc): acc int32 (Q, D) += p (Q, n) @ values."""


@device_function
def _dots(queries, _magnitudes, keys, z):
    query = queries[0]
    for j in range(z.shape[1]):
        z[0, j] = 0
    for block in range(keys.shape[0]):
        for d in range(query.shape[0]):
            for i in range(BLOCK):
                key = np.int8(keys[block, d >> 2, i, d & 3] ^ FLIP)
                z[0, BLOCK * block + i] += np.int32(query[d]) * np.int32(key)


@device_function
def _exponents(z, scales, scale, first, stop):
    largest = np.int32(LOWEST)
    for j in range(z.shape[0]):
        t = (f32(z[j]) * scale) * scales[j]
        t = t if t < MAX_EXPONENT else MAX_EXPONENT
        t = t if t > -MAX_EXPONENT else -MAX_EXPONENT
        found = np.int32((t + MAGIC) - MAGIC)
        found = found if first <= j < stop else np.int32(LOWEST)
        largest = found if found > largest else largest
        z[j] = found
    return largest


@device_function
def _softmax(z, largest, table, scales, f):
    total = np.int32(0)
    for j in range(z.shape[0]):
        delta = largest - z[j]
        shift = delta >> BITS
        e = table[delta & MASK] >> (shift if shift < 31 else np.int32(31))
        total += e
        f[j] = f32(e) * scales[j]
    return total, largest_of(f.view(np.int32))


@device_function
def _quantize(f, inverse, p):
    for j in range(f.shape[0]):
        p[j] = np.int16((f[j] * inverse + MAGIC) - MAGIC)


@device_function
def _add_values(p, values, acc):
    for j in range(values.shape[0]):
        for i in range(TUPLE):
            weight = np.int32(p[0, TUPLE * j + i])
            for d in range(acc.shape[1]):
                acc[0, d] += weight * np.int32(np.int8(values[j, d] >> 8 * i))


PLAIN_LOOPS = AttentionLoops(1, _dots, _exponents, _softmax, _quantize, _add_values)
