"""Orders in which hidden bytes are coded, each from what a decoder knows too."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.constants import PRECISION_BITS

Integers = npt.NDArray[np.int64]
Order = Callable[[Integers, npt.NDArray[np.bool_]], Integers]
"""From frequencies (B, n, 256) and which bytes are hidden (B, n) to those positions, next first."""

_STEPS = 10
"""Logarithms are in steps of 2**-10, from the leading 11 bits of a number."""


def left_to_right(freqs: Integers, hidden: npt.NDArray[np.bool_]) -> Integers:
    """Returns the hidden positions (B, m) as they come in the text."""
    return np.argsort(~hidden, axis=1, kind="stable")[:, : hidden[0].sum()]


def fixed_random(freqs: Integers, hidden: npt.NDArray[np.bool_]) -> Integers:
    """Returns the hidden positions (B, m) in an order that was drawn once."""
    drawn = np.random.Generator(np.random.PCG64(1)).permutation(hidden.shape[1])
    return drawn[left_to_right(freqs, hidden[:, drawn])]


def lowest_entropy(freqs: Integers, hidden: npt.NDArray[np.bool_]) -> Integers:
    """Returns the hidden positions (B, m), the surest first; of equals, the first in the text."""
    surest = np.where(hidden, certainty(freqs), -1)
    return np.argsort(-surest, axis=1, kind="stable")[:, : hidden[0].sum()]


def certainty(freqs: Integers) -> Integers:
    """Returns the sum of f log2(f), which falls as entropy rises, of freqs (..., 256) less one."""
    total = freqs + 1
    exponents = np.frexp(total.astype(np.float64))[1].astype(np.int64) - 1  # floor(log2)
    leading = (total << (PRECISION_BITS - exponents)) >> (PRECISION_BITS - _STEPS)
    logs = (exponents << _STEPS) + _log2_table()[leading - (1 << _STEPS)]
    sums: Integers = (total * logs).sum(-1)
    return sums


@functools.cache
def _log2_table() -> Integers:
    """Returns floor(1024 log2(1 + i / 1024)) for i in 0 .. 1023, computed by squaring integers."""
    value = np.arange(1 << _STEPS, 2 << _STEPS, dtype=np.int64) << (30 - _STEPS)
    table = np.zeros(1 << _STEPS, np.int64)
    for _ in range(_STEPS):
        value = (value * value) >> 30
        is_two = value >> 31
        table = 2 * table + is_two
        value >>= is_two
    return table
