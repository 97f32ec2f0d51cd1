"""Softmax numerators of large vocabularies where the logits are, on a GPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lmcompress.gpt.constants import EXPONENT_MASK, LOGIT_SCALE_BITS
from lmcompress.gpt.numerators import Integers
from lmcompress.gpt.reference import integer_exponents
from lmcompress.gpt.tables import EXP2_BITS, exp2_table


class DeviceNumerators:
    """Numerators on one device; holds there what all rows share."""

    def __init__(self, order: Integers, vocab_size: int, device: str) -> None:
        """Takes the symbols in the trie's order, (s,); those from V on are bytes, not tokens."""
        is_token = order < vocab_size
        self._is_token = torch.tensor(is_token, device=device)
        self._order = torch.tensor(np.where(is_token, order, 0), device=device).long()
        self._table = torch.tensor(exp2_table(LOGIT_SCALE_BITS).astype(np.int32), device=device)

    @torch.no_grad()
    def __call__(self, logits: Tensor) -> Tensor:
        """Returns numerators int32 (n, s) for exact logits (n, V) on the device."""
        z = integer_exponents(logits).int()[:, self._order]
        largest = torch.where(self._is_token, z, -(1 << 30)).amax(-1, keepdim=True)
        below = (largest - z).clamp(min=0)  # bytes take a logit that may be larger
        numerators = self._table[below & EXPONENT_MASK] >> (below >> EXP2_BITS).clamp(max=31)
        return numerators * self._is_token
