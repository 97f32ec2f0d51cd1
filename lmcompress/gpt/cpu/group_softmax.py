"""Group sums and frequencies of large vocabularies in numba: equal to the definition."""

from __future__ import annotations

import numpy as np

from lmcompress.gpt import constants
from lmcompress.gpt.cpu.kernels import MAGIC, MAX_EXPONENT, exp2_negative
from lmcompress.gpt.tables import exp2_table
from lmcompress.jit.compiler import kernel
from lmcompress.tokenizer.groups import FLAT
from lmcompress.tokenizer.vocabulary import GROUP_SIZE

f32 = np.float32
_EXPONENT_PER_NAT = f32(constants.EXPONENT_PER_NAT)
_SIZE, _FLAT = GROUP_SIZE, f32(FLAT)
_TOTAL = 1 << constants.PRECISION_BITS
_TABLE = exp2_table(constants.LOGIT_SCALE_BITS).copy()  # numba is slow to take what is read-only
_UNSPELLED = np.int32(-(1 << 30))


class FastGroups:
    """Group sums by the kernels; keeps the exponents for the second level."""

    def __init__(self, logits: np.ndarray, is_spelled: np.ndarray) -> None:
        rows, vocab_size = logits.shape
        count = -(-vocab_size // _SIZE)
        self._exponents = np.empty((rows, count * _SIZE), np.int32)
        self.sums = np.empty((rows, count), np.int64)
        sum_groups(logits, is_spelled, _TABLE, self._exponents, self.sums)

    def members(self, groups: np.ndarray) -> np.ndarray:
        """Returns freqs within one group for each row, (n, GROUP_SIZE)."""
        out = np.empty((len(groups), _SIZE), np.float32)
        member_weights(self._exponents, self.sums, groups, _TABLE, out)
        return out


@kernel
def sum_groups(logits, is_spelled, table, exponents, sums):
    """exponents = distance from the row's largest, or -1 for what has no share; sums by group."""
    vocab_size = logits.shape[1]
    for m in range(logits.shape[0]):
        z = exponents[m]
        for v in range(vocab_size):
            t = logits[m, v] * _EXPONENT_PER_NAT
            t = t if t < MAX_EXPONENT else MAX_EXPONENT
            t = t if t > -MAX_EXPONENT else -MAX_EXPONENT
            found = np.int32((t + MAGIC) - MAGIC)
            z[v] = found if is_spelled[v] else _UNSPELLED
        largest = _UNSPELLED
        for v in range(vocab_size):
            largest = z[v] if z[v] > largest else largest
        for g in range(sums.shape[1]):
            total = np.int64(0)
            for v in range(g * _SIZE, min((g + 1) * _SIZE, vocab_size)):
                below = np.int32(-1)
                if z[v] != _UNSPELLED:
                    below = np.int32(largest - z[v])
                    total += exp2_negative(below, table)
                z[v] = below
            sums[m, g] = total
        for v in range(vocab_size, z.shape[0]):
            z[v] = -1


@kernel
def member_weights(exponents, sums, groups, table, out):
    """out[row] = frequencies within the row's group; flat where the group has no share."""
    budget = _TOTAL - _SIZE
    for m in range(out.shape[0]):
        g = groups[m]
        if g >= sums.shape[1] or sums[m, g] == 0:
            for i in range(_SIZE):
                out[m, i] = _FLAT
            continue
        left, first, largest = budget, 0, np.int64(0)
        for i in range(_SIZE):
            below = exponents[m, g * _SIZE + i]
            numerator = exp2_negative(below, table) if below >= 0 else np.int64(0)
            if numerator > largest:
                first, largest = i, numerator
            weight = (numerator * budget) // sums[m, g]
            left -= weight
            out[m, i] = f32(weight)
        out[m, first] = f32(np.int64(out[m, first]) + left)
