"""Prefix sums of softmax numerators of large vocabularies in numba: equal to the definition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lmcompress.gpt import constants
from lmcompress.gpt.cpu.kernels import BITS, MAGIC, MASK, MAX_EXPONENT
from lmcompress.gpt.tables import exp2_table
from lmcompress.jit.compiler import kernel

f32 = np.float32
_EXPONENT_PER_NAT = f32(constants.EXPONENT_PER_NAT)
_TABLE = exp2_table(constants.LOGIT_SCALE_BITS).astype(np.int32)
_MOST = np.int32(31)
_LOWEST, _LOW = np.int32(-(1 << 30)), np.int32(-(1 << 29))
"""What a byte that is no token has for a logit, far below all others, and what none goes below."""


class FastSums:
    """Prefix sums by the kernel."""

    def __init__(self, order: npt.NDArray[np.int32], vocab_size: int) -> None:
        """Takes the symbols in the trie's order, (s,); those from V on are bytes, not tokens."""
        self._order = np.minimum(order, vocab_size).astype(np.uint32)

    def __call__(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Returns the sums of the first 0 .. s numerators of exact logits (n, V): (n, s + 1)."""
        sums = np.empty((len(logits), len(self._order) + 1), np.int64)
        _prefix_sums(logits, self._order, _TABLE, sums)
        return sums


@kernel
def _prefix_sums(logits, order, table, out):
    """Many loops, so that all but the last vectorize; unsigned indices need no check of signs."""
    vocab_size, count = logits.shape[1], order.shape[0]
    z, e = np.empty(vocab_size + 1, np.int32), np.empty(count, np.int32)
    z[vocab_size] = _LOWEST
    for m in range(logits.shape[0]):
        row, sums = logits[m], out[m]
        for v in range(vocab_size):
            t = row[v] * _EXPONENT_PER_NAT
            t = t if t < MAX_EXPONENT else MAX_EXPONENT
            t = t if t > -MAX_EXPONENT else -MAX_EXPONENT
            z[v] = np.int32((t + MAGIC) - MAGIC)
        for k in range(count):
            e[k] = z[order[k]]
        largest = _LOW
        for k in range(count):
            largest = e[k] if e[k] > largest else largest
        for k in range(count):
            below = np.int32(largest - e[k])
            shift = np.int32(below >> BITS)
            e[k] = table[np.uint32(below & MASK)] >> min(shift, _MOST)
        total = np.int64(0)
        sums[0] = total
        for k in range(count):
            total += e[k]
            sums[k + 1] = total
