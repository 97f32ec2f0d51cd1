"""Integer tables and roots that are the same on every machine.

No math library takes part: Python integers and correctly rounded integer roots only, since exp,
cos and even sqrt differ in their last bit from library to library.
"""

from __future__ import annotations

import decimal
import functools
import math

import numpy as np
import numpy.typing as npt

EXP2_BITS = 10
"""Exponents lie on a grid of 2**-EXP2_BITS."""
NORMAL_STEPS = 256
"""Entries of the normal distribution's table to a standard deviation."""
NORMAL_LAST = 7 * NORMAL_STEPS
"""Beyond so many steps the tail counts as nothing (it is below 2**-39)."""
_GUARD_BITS = 96


@functools.cache
def exp2_table(scale_bits: int) -> npt.NDArray[np.int64]:
    """Returns round(2**scale_bits * 2**(-i / 2**EXP2_BITS)) for i in 0 .. 2**EXP2_BITS - 1.

    With e = table[z & mask] >> (z >> EXP2_BITS), e is 2**(-z / 2**EXP2_BITS) on the scale.
    """
    one = 1 << _GUARD_BITS
    step = one >> 1  # 1/2, whose EXP2_BITS-fold square root is 2**(-1 / 2**EXP2_BITS)
    for _ in range(EXP2_BITS):
        step = math.isqrt(step << _GUARD_BITS)
    half = 1 << (_GUARD_BITS - scale_bits - 1)
    table, value = [], one
    for _ in range(1 << EXP2_BITS):
        table.append((value + half) >> (_GUARD_BITS - scale_bits))
        value = (value * step) >> _GUARD_BITS
    result = np.array(table, dtype=np.int64)
    result.flags.writeable = False
    return result


@functools.cache
def normal_tail_table() -> npt.NDArray[np.float32]:
    """Returns P(X > i / NORMAL_STEPS) of a standard normal X, float32, down to a last 0.

    By Taylor's series of erf in integers; each entry is rounded once.
    """
    bits = 2 * _GUARD_BITS  # terms of the series grow to 2**24 before they shrink
    scale = math.isqrt((1 << 4 * bits) // (2 * _pi(2 * bits)))  # 1 / sqrt(2 pi)
    tails = [_tail(i, scale, bits) / (1 << bits) for i in range(NORMAL_LAST)]
    result = np.array([*tails, 0.0, 0.0], dtype=np.float64).astype(np.float32)
    result.flags.writeable = False
    return result


def _tail(i: int, scale: int, bits: int) -> int:
    """Returns P(X > i / NORMAL_STEPS) = 1/2 - (x - x**3 / 6 + x**5 / 40 - ...) / sqrt(2 pi)."""
    x = (i << bits) // NORMAL_STEPS
    square = (x * x >> bits) // 2  # x**2 / 2
    power, total, k = x, 0, 0
    while power:  # x * (-x**2 / 2)**k / k!
        total += (-1) ** k * (power // (2 * k + 1))
        k += 1
        power = (power * square >> bits) // k
    return (1 << bits - 1) - (total * scale >> bits)


@functools.cache
def cosine_table(period: int, scale_bits: int) -> npt.NDArray[np.int64]:
    """Returns round(2**scale_bits * cos(2 pi i / period)) for i in 0 .. period - 1.

    Raises:
      ValueError: If `period` is not a multiple of 4 (a quarter turn must be a whole step).
    """
    if period % 4:
        raise ValueError(f"period {period} is not a multiple of 4")
    pi = _pi(_GUARD_BITS)
    quarter = [_cosine(2 * pi * i // period) for i in range(period // 4 + 1)]
    quarter[-1] = 0
    half_step = 1 << (_GUARD_BITS - scale_bits - 1)
    first = [(value + half_step) >> (_GUARD_BITS - scale_bits) for value in quarter]
    half = first[:-1] + [-v for v in reversed(first[1:])]  # cos(pi - x) = -cos(x)
    result = np.array(half + [-v for v in half], dtype=np.int64)  # cos(x + pi) = -cos(x)
    result.flags.writeable = False
    return result


def rotary_tables(
    base: float, half: int, num_positions: int, scale_bits: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns round(2**scale_bits * cos and sin(p * base**(-i / half))), (num_positions, half)."""
    cos, sin = (np.empty((num_positions, half), np.int64) for _ in range(2))
    one, half_step = 1 << _GUARD_BITS, 1 << (_GUARD_BITS - scale_bits - 1)
    with decimal.localcontext(prec=50):
        for i in range(half):
            angle = int(decimal.Decimal(base) ** (decimal.Decimal(-i) / half) * one)
            step_cos, step_sin = _cosine(angle), _cosine(_pi(_GUARD_BITS) // 2 - angle)
            x, y = one, 0
            for p in range(num_positions):
                cos[p, i] = (x + half_step) >> (_GUARD_BITS - scale_bits)
                sin[p, i] = (y + half_step) >> (_GUARD_BITS - scale_bits)
                x, y = (
                    (x * step_cos - y * step_sin) >> _GUARD_BITS,
                    (x * step_sin + y * step_cos) >> _GUARD_BITS,
                )
    return cos, sin


def _pi(bits: int) -> int:
    """Returns pi * 2**bits by Machin's formula, off by a few units at most."""

    def arctan_inverse(n: int) -> int:
        power = (1 << (bits + 16)) // n
        total, k = power, 1
        while power:
            power //= n * n
            k += 2
            total += -(power // k) if k % 4 == 3 else power // k
        return total

    return (16 * arctan_inverse(5) - 4 * arctan_inverse(239)) >> 16


def _cosine(angle: int) -> int:
    """Returns cos(angle) by Taylor's series, 0 <= angle <= pi / 2; both times 2**_GUARD_BITS."""
    square = (angle * angle) >> _GUARD_BITS
    total = magnitude = 1 << _GUARD_BITS
    k, sign = 0, 1
    while magnitude:
        magnitude = (magnitude * square >> _GUARD_BITS) // ((k + 1) * (k + 2))
        k, sign = k + 2, -sign
        total += sign * magnitude
    return total
