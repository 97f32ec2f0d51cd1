"""Prefix sums of softmax numerators of large vocabularies in numba: equal to the definition."""

from __future__ import annotations

import numpy as np

from lmcompress.gpt import constants
from lmcompress.gpt.cpu.kernels import BITS, MAGIC, MASK, MAX_EXPONENT
from lmcompress.jit.compiler import kernel

f32 = np.float32
_EXPONENT_PER_NAT = f32(constants.EXPONENT_PER_NAT)
_MOST = np.int32(31)
_LOWEST, _LOW = np.int32(-(1 << 30)), np.int32(-(1 << 29))
"""The scaled logit of a byte that has no token, and a bound that every real one lies above."""


@kernel
def sums_from_logits(sums, s, ws, symbols, table, lanes, out):
    """Fills out with prefix sums of the softmax numerators of logits (sums * s) * ws.

    Numerators are in the order of symbols (n,), so a row has n + 1 sums; rows (lane, step) go to
    out[step, lane]. Symbol V stands for a byte without a token: its numerator is 0. Separate loops
    let all but the last vectorize; unsigned indices save the check for negative ones.
    """
    vocab_size, count = sums.shape[1], symbols.shape[0]
    steps = sums.shape[0] // lanes
    z, e = np.empty(vocab_size + 1, np.int32), np.empty(count, np.int32)
    z[vocab_size] = _LOWEST
    for m in range(sums.shape[0]):
        row, scale, total_row = sums[m], s[m], out[m % steps, m // steps]
        for v in range(vocab_size):
            t = ((f32(row[v]) * scale) * ws[v]) * _EXPONENT_PER_NAT
            t = t if t < MAX_EXPONENT else MAX_EXPONENT
            t = t if t > -MAX_EXPONENT else -MAX_EXPONENT
            z[v] = np.int32((t + MAGIC) - MAGIC)
        for k in range(count):
            e[k] = z[symbols[k]]
        largest = _LOW
        for k in range(count):
            largest = e[k] if e[k] > largest else largest
        for k in range(count):
            below = np.int32(largest - e[k])
            shift = np.int32(below >> BITS)
            e[k] = table[np.uint32(below & MASK)] >> min(shift, _MOST)
        total = np.int64(0)
        total_row[0] = total
        for k in range(count):
            total += e[k]
            total_row[k + 1] = total
