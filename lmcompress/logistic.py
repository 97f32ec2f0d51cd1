"""Integer tables of the logistic function and its inverse, the same on every machine.

Probabilities are out of 2**16. The logistic domain ("stretched") is ln(p / (1 - p)) in steps of
1 / 256, from -LIMIT to LIMIT (Mahoney, 2005: PAQ's mixing).
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

LIMIT = 3071
SCALE = 256
TOTAL = 1 << 16
_GUARD_BITS = 128


@functools.cache
def squash_table() -> npt.NDArray[np.int32]:
    """Returns round(2**16 / (1 + e**(-x / 256))) for x = -LIMIT .. LIMIT, within 1 .. 2**16 - 1."""
    one = 1 << _GUARD_BITS
    step = term = one
    for k in range(1, 40):  # e**(1 / 256) by its series
        term //= SCALE * k
        step += term
    power, upper = one, []
    for _ in range(LIMIT + 1):  # x = 0 .. LIMIT: e**(x / 256) / (1 + e**(x / 256))
        upper.append((TOTAL * power + (one + power) // 2) // (one + power))
        power = (power * step) >> _GUARD_BITS
    upper = [min(value, TOTAL - 1) for value in upper]
    table = np.array([TOTAL - v for v in reversed(upper[1:])] + upper, np.int32)
    table.flags.writeable = False
    return table


@functools.cache
def stretch_table() -> npt.NDArray[np.int32]:
    """Returns, for each p = 0 .. 2**16 - 1, the least x with squash(x) >= p."""
    table = np.searchsorted(squash_table(), np.arange(TOTAL)).astype(np.int32) - LIMIT
    table = np.minimum(table, LIMIT)
    table.flags.writeable = False
    return table


@functools.cache
def rate_table(size: int) -> npt.NDArray[np.int32]:
    """Returns 2**16 / (n + 1.6), rounded down: how far the n-th sighting moves a probability."""
    return np.array([TOTAL * 10 // (10 * n + 16) for n in range(size)], np.int32)
