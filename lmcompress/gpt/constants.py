"""Grids, scales and other constants that every implementation of exact evaluation shares.

A change of any of them changes frequencies, and so raises ARITHMETIC_VERSION.
"""

from __future__ import annotations

import math

import numpy as np

from lmcompress.gpt.tables import EXP2_BITS

MAX_ACTIVATION = 127
PRECISION_BITS = 24
"""Frequencies sum to 2**PRECISION_BITS."""
NORM_GRID = 2.0**20
"""Norms see their input as integers of at most this size."""
NORM_SHIFT = 6
ATTENTION_SCALE_BITS = 16
ATTENTION_LEVELS = 2047
"""Largest integer attention weight: 64 products with int8 stay exact in float32."""
LOGIT_SCALE_BITS = 30
TINY = 2.0**-40
"""Smallest magnitude a scale is taken from: keeps quotients finite and products normal."""
MAX_EXPONENT = 2.0**21  # 2,048 bits either way: rounding by adding 1.5 * 2**23 works up to 2**22
EXPONENT_MASK = (1 << EXP2_BITS) - 1


def as_float32(value: float) -> float:
    """Rounds a constant to float32, so that every implementation multiplies by the same number."""
    return float(np.float32(value))


PER_LEVEL = as_float32(1 / MAX_ACTIVATION)
PER_ATTENTION_LEVEL = as_float32(1 / ATTENTION_LEVELS)
EXPONENT_PER_NAT = as_float32(math.log2(math.e) * (1 << EXP2_BITS))
GELU_ROOT = as_float32(2 * math.sqrt(2 / math.pi))
GELU_CUBIC = as_float32(0.044715)
