"""95 % intervals: of rates by the bootstrap, with a fixed seed; of means of few pieces by t."""

from __future__ import annotations

import math
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


def half_width_of_mean(values: Sequence[float]) -> float:
    """Returns half of the 95 % interval of a mean: for few values, where the bootstrap is narrow.

    Args:
      values: Two or more, drawn independently.
    """
    from scipy.stats import t

    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return float(t.ppf(0.975, len(values) - 1) * error)
