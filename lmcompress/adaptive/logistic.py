"""Integer tables of the logistic function and its inverse, the same on every machine.

Probabilities are out of TOTAL = 2**22. The logistic domain ("stretched") is ln(p / (1 - p)) in
steps of 1 / 256, from -LIMIT to LIMIT (Mahoney, 2005: PAQ's mixing).
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from lmcompress.jit.compiler import lean_kernel

LIMIT = 3071
SCALE = 256
TOTAL_BITS = 22
TOTAL = 1 << TOTAL_BITS
FINE_BITS = (10, 4, 0)
STRETCH_SIZE = 1 << 12
"""`stretch_tables` has 2**12 steps of each of these sizes, 2**10, 2**4 and 1, from 0 up."""
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
def stretch_tables() -> npt.NDArray[np.int32]:
    """Returns the least x with squash(x) >= p, for p amid each of STRETCH_SIZE steps: (3, k).

    The later rows have finer steps, and end sooner: ln(p / (1 - p)) is steep near 0.
    """
    steps = 1 << np.array(FINE_BITS)[:, None]
    p = np.arange(STRETCH_SIZE) * steps + steps // 2
    return _frozen(np.minimum(np.searchsorted(squash_table(), p) - LIMIT, LIMIT))


@functools.cache
def rate_table(size: int) -> npt.NDArray[np.int32]:
    """Returns 2**16 / (n + 1.6), rounded down: how far the n-th sighting moves a probability."""
    return _frozen([(10 << 16) // (10 * n + 16) for n in range(size)])


@lean_kernel
def stretch(shared, p):
    """Returns ln(p / (1 - p)) for p out of TOTAL, exact at the ends."""
    rest, sign = (TOTAL - p, -1) if p > TOTAL // 2 else (p, 1)
    if rest >= STRETCH_SIZE << FINE_BITS[1]:
        return sign * shared.stretch[0, rest >> FINE_BITS[0]]
    if rest >= STRETCH_SIZE:
        return sign * shared.stretch[1, rest >> FINE_BITS[1]]
    return sign * shared.stretch[2, rest]


@lean_kernel
def coarse_stretch(shared, p):
    """Returns the same to within a step of the coarse table, without its branches."""
    return shared.stretch[0, p >> FINE_BITS[0]]


@lean_kernel
def clamp(x):
    """Returns x within the logistic domain."""
    return -LIMIT if x < -LIMIT else (LIMIT if x > LIMIT else x)


def _frozen(values: npt.ArrayLike) -> npt.NDArray[np.int32]:
    table = np.array(values, np.int32)
    table.flags.writeable = False
    return table
