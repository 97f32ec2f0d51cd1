"""Integer weights for large vocabularies in two levels, groups of tokens and their members.

A token is coded as its group of `GROUP_SIZE` ids, then as its place in the group (word classes:
Goodman, 2001): with an alphabet of all ids, each symbol would cost the coder a pass over all of
them. Both levels share a budget out by integers, so their weights depend on nothing but those.

Shapes: n rows, G groups.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lmcompress.range_coder import PRECISION_BITS, Weights
from lmcompress.tokenizer.vocabulary import GROUP_SIZE

FLAT = ((1 << PRECISION_BITS) - GROUP_SIZE) // GROUP_SIZE
"""Weight of each member of a group that is flat; 2**24 - 256 divides evenly."""

Integers = npt.NDArray[np.int64]


class GroupSums(Protocol):
    """Softmax numerators of some rows, summed over groups."""

    @property
    def sums(self) -> Integers:
        """Numerators summed over each group, (n, G)."""

    def members(self, groups: Integers) -> Weights:
        """Returns weights within one group for each row, (n, GROUP_SIZE).

        Those from V on have weight 0. A group with sum 0, and any from G on, is flat.
        """


def group_weights(sums: Integers, last: Integers) -> Weights:
    """Returns weights of groups and of one symbol more, float32 (n, G + 1).

    Args:
      sums: Numerators by group, (n, G).
      last: Weight of the symbol after the groups, (n,): it is taken from all groups alike.

    Returns:
      Integer-valued, >= 0; each row sums to 2**PRECISION_BITS - (G + 1).
    """
    budget = (1 << PRECISION_BITS) - sums.shape[1] - 1 - last[:, None]
    weights = share(sums, budget)
    return np.concatenate((weights, last[:, None]), axis=1).astype(np.float32)


def share(numerators: Integers, budget: Integers) -> Integers:
    """Shares budget (n, 1) out by numerators (n, K); what is left goes to the first largest."""
    weights: Integers = numerators * budget // numerators.sum(axis=1, keepdims=True)
    rows = np.arange(len(weights))
    weights[rows, numerators.argmax(axis=1)] += (budget - weights.sum(axis=1, keepdims=True))[:, 0]
    return weights
