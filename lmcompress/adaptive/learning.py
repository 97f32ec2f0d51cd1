"""How a counter moves, and which parts are left out."""

from __future__ import annotations

import numpy as np

from lmcompress.jit.compiler import lean_kernel


@lean_kernel
def is_left_out(shared, part):
    """Returns whether this part of PARTS is left out, to measure what it is worth."""
    return (shared.left_out >> part) & 1


@lean_kernel
def learned(counter, target, rates, limit):
    """Returns a counter that has seen target once more: 22 bits of probability, 10 of count."""
    counter = np.int64(counter)
    count, p = counter & 1023, counter >> 10
    p += ((target - p) * rates[count]) >> 16
    return np.uint32(p << 10 | min(count + 1, limit))
