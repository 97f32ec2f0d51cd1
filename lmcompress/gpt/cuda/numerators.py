"""Softmax numerators of large vocabularies where the logits are, on a GPU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmcompress.gpt.constants import EXPONENT_MASK, LOGIT_SCALE_BITS
from lmcompress.gpt.reference import integer_exponents
from lmcompress.gpt.tables import EXP2_BITS, exp2_table


class DeviceNumerators:
    """Numerators on one device; holds there what all rows share."""

    def __init__(self, order: npt.NDArray[np.int32], vocab_size: int, device: str) -> None:
        """Takes the symbols in the trie's order, (s,); those from V on are bytes, not tokens."""
        is_token = order < vocab_size
        self._is_token = torch.tensor(is_token, device=device)
        self._order = torch.tensor(np.where(is_token, order, 0), device=device).long()
        self._table = torch.tensor(exp2_table(LOGIT_SCALE_BITS), device=device)

    @torch.no_grad()
    def __call__(self, logits: Tensor) -> npt.NDArray[np.int32]:
        """Returns numerators (n, s), on the host, for exact logits (n, V) on the device."""
        z = integer_exponents(logits)[:, self._order]
        z = torch.where(self._is_token, z, -(1 << 40))
        below = z.amax(-1, keepdim=True) - z
        numerators = self._table[below & EXPONENT_MASK] >> (below >> EXP2_BITS).clamp(max=62)
        return np.asarray((numerators * self._is_token).int().cpu())
