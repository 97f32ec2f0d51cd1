"""Where the keys and values of past positions lie: rings, so that the last ones are one run or two.

Position p of a lane lies in slot p % capacity. Eight keys stand together, four channels of each
side by side, as instructions that multiply bytes read them; values stand in pairs of keys, as
those do that multiply 16-bit integers. Attention then reads memory in one stream from end to end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BLOCK = 8
"""Keys that stand together; a capacity is a multiple of it."""
GROUP = 4
"""Channels of a key that stand together."""
PAIR = 2
"""Values that stand together."""
PAIRS = BLOCK // PAIR
"""Pairs of values to a block of keys."""


class Rings(NamedTuple):
    """The keys and values of one layer for each lane and key head: bytes, a scale for each slot."""

    keys: npt.NDArray[np.int8]
    """(..., capacity / BLOCK, ceil(D / GROUP), BLOCK, GROUP)"""
    key_scales: npt.NDArray[np.float32]
    """(..., capacity)"""
    values: npt.NDArray[np.int16]
    """(..., capacity / PAIR, D): the lower byte is the first value's"""
    value_scales: npt.NDArray[np.float32]
    """(..., capacity)"""


def new_rings(leading: tuple[int, ...], window: int, max_steps: int, head_dim: int) -> Rings:
    """Returns empty rings for each of the leading dimensions.

    A block of max_steps keys enters before its first query looks: there is room for both.
    """
    blocks = -(-(window + max_steps - 1) // BLOCK)
    capacity, groups = blocks * BLOCK, -(-head_dim // GROUP)
    return Rings(
        np.zeros((*leading, blocks, groups, BLOCK, GROUP), np.int8),
        np.zeros((*leading, capacity), np.float32),
        np.zeros((*leading, capacity // PAIR, head_dim), np.int16),
        np.zeros((*leading, capacity), np.float32),
    )


def lay_out_keys(keys: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Returns keys (n, D) as they lie in a ring: (n / BLOCK, D / GROUP, BLOCK, GROUP)."""
    count, head_dim = keys.shape
    blocks = keys.reshape(count // BLOCK, BLOCK, head_dim // GROUP, GROUP)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3))


def lay_out_values(values: npt.NDArray[np.int8]) -> npt.NDArray[np.int16]:
    """Returns values (n, D) as they lie in a ring: (n / PAIR, D)."""
    count, head_dim = values.shape
    pairs = values.reshape(count // PAIR, PAIR, head_dim).astype(np.int16)
    return (pairs[:, 0] & 255) | (pairs[:, 1] << 8)
