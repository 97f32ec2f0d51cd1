"""Scaling laws fitted: L(N) (Kaplan et al., 2020), L(N, D) (Hoffmann et al., 2022)."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import numpy.typing as npt

from lmcompress.system.extras import needs_extra

Floats = npt.NDArray[np.float64]
_MAX_EXPONENT = 3.0
_STARTS = tuple(itertools.product((0.1, 0.5), (0.1, 0.5)))
_HUBER = 1e-2
"""Errors of the logarithm above this count linearly: a jump in a curve must not bend the fit."""


@dataclasses.dataclass(frozen=True)
class SizeLaw:
    """L(N) = scale / N^exponent."""

    scale: float
    exponent: float

    def __call__(self, sizes: Floats | float) -> Floats:
        """Returns bits per byte."""
        return np.asarray(self.scale / np.asarray(sizes, float) ** self.exponent)


@dataclasses.dataclass(frozen=True)
class JointLaw:
    """L(N, D) = floor + by_size / N^a + by_data / D^b."""

    floor: float
    by_size: float
    a: float
    by_data: float
    b: float
    relative_error: float
    """Root mean square over the points fitted, of the logarithm."""

    def __call__(self, sizes: Floats | float, seen: Floats | float) -> Floats:
        """Returns bits per byte."""
        size_term = self.by_size / np.asarray(sizes, float) ** self.a
        return np.asarray(self.floor + size_term + self.by_data / np.asarray(seen, float) ** self.b)


def fit_size(sizes: Floats, bits: Floats) -> SizeLaw:
    """Returns L(N) by least squares of the logarithms."""
    slope, intercept = np.polyfit(np.log(sizes), np.log(bits), 1)
    return SizeLaw(float(np.exp(intercept)), float(-slope))


def fit_size_and_data(points: Floats) -> JointLaw:
    """Returns L(N, D) by robust least squares of the logarithms, the best of several starts.

    Args:
      points: (n, 3): parameters, bytes seen, bits per byte.

    Raises:
      MissingDependencyError: If SciPy is not installed.
    """
    with needs_extra("paper", "fitting a scaling law", "scipy"):
        from scipy.optimize import least_squares
    logs = np.log(points)
    # Terms at the middle of the points: of one order with the loss, unlike A and B themselves.
    middle = logs[:, :2].mean(axis=0)
    size_log, data_log = (logs[:, :2] - middle).T

    def residuals(terms: Floats) -> Floats:
        floor, by_size, a, by_data, b = terms
        fitted = floor + by_size * np.exp(-a * size_log) + by_data * np.exp(-b * data_log)
        return np.asarray(np.log(fitted) - logs[:, 2])

    upper = [np.inf, np.inf, _MAX_EXPONENT, np.inf, _MAX_EXPONENT]
    third = float(np.exp(logs[:, 2].mean())) / 3
    fits = [
        least_squares(residuals, [third, third, a, third, b], bounds=(0, upper), loss="huber",
                      f_scale=_HUBER, max_nfev=5000)
        for a, b in _STARTS
    ]  # fmt: skip
    best = min(fits, key=lambda fit: fit.cost)
    floor, by_size, a, by_data, b = map(float, best.x)
    error = float(np.sqrt(np.mean(residuals(best.x) ** 2)))
    by_size, by_data = by_size * np.exp(a * middle[0]), by_data * np.exp(b * middle[1])
    return JointLaw(floor, float(by_size), a, float(by_data), b, error)
