"""Intervals of rates: the bootstrap over pieces that were drawn, with a fixed seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000
_SEED = 0


def interval(numerators: Sequence[float], denominators: Sequence[float]) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of sum(numerators) / sum(denominators).

    Pieces, each a pair, are drawn with replacement, as many as there are (Efron, 1979; the
    percentile method).

    Args:
      numerators: Such as the bits of each piece.
      denominators: Such as its bytes.
    """
    pairs = np.array([numerators, denominators], np.float64)
    drawn = np.random.default_rng(_SEED).integers(0, pairs.shape[1], (RESAMPLES, pairs.shape[1]))
    sums = pairs[:, drawn].sum(axis=2)
    low, high = np.quantile(sums[0] / sums[1], [0.025, 0.975])
    return float(low), float(high)
