"""Softmax numerators of large vocabularies in numba: equal to the definition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lmcompress.gpt import constants
from lmcompress.gpt.cpu.kernels import MAGIC, MAX_EXPONENT, exp2_negative
from lmcompress.gpt.tables import exp2_table
from lmcompress.jit.compiler import kernel

f32 = np.float32
_EXPONENT_PER_NAT = f32(constants.EXPONENT_PER_NAT)
_TABLE = exp2_table(constants.LOGIT_SCALE_BITS).copy()  # numba is slow to take what is read-only


class FastNumerators:
    """Numerators by the kernel."""

    def __init__(self, order: npt.NDArray[np.int32]) -> None:
        """Takes the symbols in the trie's order, (s,); those from V on are bytes, not tokens."""
        self._order = order

    def __call__(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """Returns numerators (n, s) for exact logits (n, V); those of bytes are 0."""
        numerators = np.empty((len(logits), len(self._order)), np.int32)
        _numerators(logits, self._order, _TABLE, np.empty(logits.shape[1], np.int32), numerators)
        return numerators


@kernel
def _numerators(logits, order, table, z, out):
    vocab_size = logits.shape[1]
    for m in range(logits.shape[0]):
        for v in range(vocab_size):
            t = logits[m, v] * _EXPONENT_PER_NAT
            t = t if t < MAX_EXPONENT else MAX_EXPONENT
            t = t if t > -MAX_EXPONENT else -MAX_EXPONENT
            z[v] = np.int32((t + MAGIC) - MAGIC)
        largest = np.int32(-(1 << 30))
        for k in range(order.shape[0]):
            if order[k] < vocab_size and z[order[k]] > largest:
                largest = z[order[k]]
        for k in range(order.shape[0]):
            is_token = order[k] < vocab_size
            below = np.int32(largest - z[order[k]]) if is_token else np.int32(0)
            out[m, k] = np.int32(exp2_negative(below, table)) if is_token else np.int32(0)
