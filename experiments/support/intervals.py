"""Intervals of rates: the bootstrap over pieces that were drawn, with a fixed seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000
_SEED = 0


def interval(
    numerators: Sequence[float], denominators: Sequence[float], share: float = 0.95
) -> tuple[float, float]:
    """Returns the bootstrap interval of sum(numerators) / sum(denominators).

    Pieces, each a pair, are drawn with replacement, as many as there are (Efron, 1979; the
    percentile method).

    Args:
      numerators: Such as the bits of each piece.
      denominators: Such as its bytes.
      share: Of the resampled rates that lie within.
    """
    pairs = np.array([numerators, denominators], np.float64)
    drawn = np.random.default_rng(_SEED).integers(0, pairs.shape[1], (RESAMPLES, pairs.shape[1]))
    sums = pairs[:, drawn].sum(axis=2)
    low, high = np.quantile(sums[0] / sums[1], [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
