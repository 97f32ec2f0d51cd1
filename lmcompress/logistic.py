"""Integer tables of the logistic function and its inverse, the same on every machine.

Probabilities are out of TOTAL = 2**22. The logistic domain ("stretched") is ln(p / (1 - p)) in
steps of 1 / 256, from -LIMIT to LIMIT (Mahoney, 2005: PAQ's mixing).
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

LIMIT = 3071
SCALE = 256
TOTAL_BITS = 22
TOTAL = 1 << TOTAL_BITS
COARSE, NEAR = 1 << 12, 1 << 16
"""Entries of the two tables that invert `squash_table`: all of 0 .. 1, and the last 64th."""
_GUARD_BITS = 128


@functools.cache
def squash_table() -> npt.NDArray[np.int32]:
    """Returns round(TOTAL / (1 + e**(-x / 256))) for x = -LIMIT .. LIMIT."""
    one = 1 << _GUARD_BITS
    step = term = one
    for k in range(1, 40):  # e**(1 / 256) by its series
        term //= SCALE * k
        step += term
    power, upper = one, []
    for _ in range(LIMIT + 1):  # x = 0 .. LIMIT: e**(x / 256) / (1 + e**(x / 256))
        upper.append((TOTAL * power + (one + power) // 2) // (one + power))
        power = (power * step) >> _GUARD_BITS
    return _frozen([TOTAL - v for v in reversed(upper[1:])] + upper)


@functools.cache
def stretch_table() -> npt.NDArray[np.int32]:
    """Returns the least x with squash(x) >= p for p = k * TOTAL / COARSE, k = 0 .. COARSE - 1."""
    return _inverse(np.arange(COARSE) * (TOTAL // COARSE))


@functools.cache
def near_one_stretch_table() -> npt.NDArray[np.int32]:
    """Returns the least x with squash(x) >= TOTAL - k for k = 0 .. NEAR - 1."""
    return _inverse(TOTAL - np.arange(NEAR))


@functools.cache
def rate_table(size: int) -> npt.NDArray[np.int32]:
    """Returns 2**16 / (n + 1.6), rounded down: how far the n-th sighting moves a probability."""
    return _frozen([(10 << 16) // (10 * n + 16) for n in range(size)])


def _inverse(p: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return _frozen(np.minimum(np.searchsorted(squash_table(), p) - LIMIT, LIMIT))


def _frozen(values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    table = np.array(values, np.int32)
    table.flags.writeable = False
    return table
