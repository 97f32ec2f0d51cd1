"""Integer frequencies for large vocabularies in two levels, groups of tokens and their members.

A token is coded as its group of `GROUP_SIZE` ids, then as its place in the group (word classes:
Goodman, 2001): with an alphabet of all ids, each symbol would cost the coder a pass over all of
them. Both levels divide a budget in integers, so the frequencies depend on nothing else.

Shapes: n rows, G groups.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lmcompress.range_coder import PRECISION_BITS, Freqs
from lmcompress.tokenizer.vocabulary import GROUP_SIZE

FLAT = ((1 << PRECISION_BITS) - GROUP_SIZE) // GROUP_SIZE
"""Frequency, less one, of each member of a group that is flat; 2**24 - 256 divides evenly."""

Integers = npt.NDArray[np.int64]


class GroupSums(Protocol):
    """Softmax numerators of some rows, summed over groups."""

    @property
    def sums(self) -> Integers:
        """Numerators summed over each group, (n, G)."""

    def members(self, groups: Integers) -> Freqs:
        """Returns freqs within one group for each row, (n, GROUP_SIZE).

        Those from V on get 0. A group with sum 0, and any from G on, is flat.
        """


def group_freqs(sums: Integers, last: Integers) -> Freqs:
    """Returns freqs of groups and of one symbol more, float32 (n, G + 1).

    Args:
      sums: Numerators by group, (n, G).
      last: Frequency, less one, of the symbol after the groups, (n,).

    Returns:
      Integer-valued, >= 0; each row sums to 2**PRECISION_BITS - (G + 1).
    """
    budget = (1 << PRECISION_BITS) - sums.shape[1] - 1 - last[:, None]
    freqs = share(sums, budget)
    return np.concatenate((freqs, last[:, None]), axis=1).astype(np.float32)


def share(numerators: Integers, budget: Integers) -> Integers:
    """Divides budget (n, 1) by numerators (n, K); the remainder goes to the first largest."""
    freqs: Integers = numerators * budget // numerators.sum(axis=1, keepdims=True)
    rows = np.arange(len(freqs))
    freqs[rows, numerators.argmax(axis=1)] += (budget - freqs.sum(axis=1, keepdims=True))[:, 0]
    return freqs
