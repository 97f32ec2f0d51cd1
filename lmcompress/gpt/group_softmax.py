"""Softmax numerators of large vocabularies, summed over groups of tokens: the definition.

The numerators are those of `reference.integer_softmax` over the tokens that a text spells: integers
up to 2**30. Their sums over a group stay below 2**39. Tokens that no text spells have numerator 0.
`cpu/` and `cuda/` give the same bits.

Shapes: n rows, V tokens, G groups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.constants import (
    EXPONENT_MASK,
    EXPONENT_PER_NAT,
    LOGIT_SCALE_BITS,
    MAX_EXPONENT,
    PRECISION_BITS,
)
from lmcompress.gpt.tables import EXP2_BITS, exp2_table
from lmcompress.tokenizer.groups import Integers, share
from lmcompress.tokenizer.vocabulary import GROUP_SIZE

Floats = npt.NDArray[np.float32]


class ReferenceGroups:
    """Group sums in plain numpy."""

    def __init__(self, logits: Floats, is_spelled: npt.NDArray[np.bool_]) -> None:
        """Takes exact logits (n, V); of tokens, only those that are spelled count."""
        t = logits * np.float32(EXPONENT_PER_NAT)
        limit = np.float32(MAX_EXPONENT)
        z = np.rint(np.clip(t, -limit, limit)).astype(np.int64)
        below = z[:, is_spelled].max(axis=1, keepdims=True) - z
        table = exp2_table(LOGIT_SCALE_BITS)
        below = np.where(is_spelled, below, 0)
        shifted = table[below & EXPONENT_MASK] >> np.minimum(below >> EXP2_BITS, 62)
        numerators = np.where(is_spelled, shifted, 0)
        padding = -numerators.shape[1] % GROUP_SIZE
        padded = np.pad(numerators, ((0, 0), (0, padding)))
        self._by_group = padded.reshape(len(padded), -1, GROUP_SIZE)
        self.sums: Integers = self._by_group.sum(axis=2)

    def members(self, groups: Integers) -> Floats:
        """Returns freqs within one group for each row, (n, GROUP_SIZE)."""
        count = self._by_group.shape[1]
        rows = np.arange(len(groups))
        chosen = self._by_group[rows, np.minimum(groups, count - 1)]
        is_flat = (groups >= count) | (chosen.sum(axis=1) == 0)
        chosen = np.where(is_flat[:, None], 1, chosen)
        budget = np.full((len(groups), 1), (1 << PRECISION_BITS) - GROUP_SIZE)
        return share(chosen, budget).astype(np.float32)
