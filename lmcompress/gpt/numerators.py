"""Softmax numerators of the tokens that can occur in a text, in the order of the token trie.

They are computed as in `reference.integer_softmax`, integers up to 2**30, with the largest logit
taken over these tokens alone. `cpu/` and `cuda/` give the same bits.

Shapes: n rows, V tokens of the model, s symbols of the trie.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.constants import (
    EXPONENT_MASK,
    EXPONENT_PER_NAT,
    LOGIT_SCALE_BITS,
    MAX_EXPONENT,
)
from lmcompress.gpt.tables import EXP2_BITS, exp2_table

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


class ReferenceNumerators:
    """Numerators in plain numpy: the definition."""

    def __init__(self, order: Integers) -> None:
        """Takes the symbols in the trie's order, (s,); those from V on are bytes, not tokens."""
        self._order = order

    def __call__(self, logits: Floats) -> Integers:
        """Returns numerators (n, s) for exact logits (n, V); those of bytes are 0."""
        limit = np.float32(MAX_EXPONENT)
        t = np.clip(logits * np.float32(EXPONENT_PER_NAT), -limit, limit)
        is_token = self._order < logits.shape[1]
        z = np.rint(t[:, self._order[is_token]]).astype(np.int64)
        below = z.max(axis=1, keepdims=True) - z
        table = exp2_table(LOGIT_SCALE_BITS)
        numerators = np.zeros((len(logits), len(self._order)), np.int32)
        numerators[:, is_token] = table[below & EXPONENT_MASK] >> np.minimum(below >> EXP2_BITS, 62)
        return numerators
