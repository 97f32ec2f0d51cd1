"""Hashed n-grams: the rows of a table that add to a token's embedding.

They add capacity without products: of each order, one row of a table is read. Hashed n-gram
embeddings of bytes are those of Pagnoni et al. (2024), "Byte Latent Transformer", section 3.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Integers = TypeVar("Integers", "Tensor", npt.NDArray[np.int64])

MULTIPLIER, SPREAD = 0x2F0B4C47, 0x61C88647
"""Odd, and below 2**31: products with 32 bits fit 63."""
MASK = 0xFFFFFFFF


def ngram_rows(tokens: Integers, orders: Sequence[int], bits: int) -> list[Integers]:
    """Returns rows of the table, an int64 array (B, T) for each order.

    Args:
      tokens: int64 (B, max(orders) - 1 + T): those before the first come first.
      orders: How many tokens a row stands for, ascending.
      bits: 2**bits rows of the table belong to each order, in the same sequence.
    """
    steps = tokens.shape[1] - orders[-1] + 1
    rows: list[Integers] = []
    h = 0 * tokens[:, -steps:]
    for back in range(orders[-1]):
        start = orders[-1] - 1 - back
        h = (h * MULTIPLIER + tokens[:, start : start + steps] + 1) & MASK
        if back + 1 in orders:
            rows.append((((h * SPREAD) & MASK) >> (32 - bits)) + (len(rows) << bits))
    return rows
