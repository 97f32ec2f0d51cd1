"""Where the keys and values of past positions lie: rings, so that the last ones are one run or two.

Position p of a lane lies in slot p % capacity. A register's worth of keys stands together, four
channels of each side by side; a channel's values of two or four keys stand side by side: as this
processor's instructions read them. Attention then reads memory in one stream from end to end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.tiles import VNNI, first_supported

HAS_VNNI = first_supported(VNNI) is not None
BLOCK = 16 if HAS_VNNI else 8
"""Keys that stand together; a capacity is a multiple of it."""
GROUP = 4
"""Channels of a key that stand together."""
FLIP = np.int8(-128 if HAS_VNNI else 0)
"""The bits that are flipped in each byte of a key: `vpdpbusd` takes keys + 128, without a sign."""
TUPLE = 4 if HAS_VNNI else 2
"""Values that stand together."""
TUPLES = BLOCK // TUPLE
"""Tuples of values to a block of keys."""
_TUPLE_TYPE = np.dtype(f"i{TUPLE}")


class Rings(NamedTuple):
    """The keys and values of one layer for each lane and key head: bytes, a scale for each slot."""

    keys: npt.NDArray[np.int8]
    """(..., capacity / BLOCK, ceil(D / GROUP), BLOCK, GROUP), flipped by FLIP"""
    key_scales: npt.NDArray[np.float32]
    """(..., capacity)"""
    values: npt.NDArray[np.signedinteger[Any]]
    """(..., capacity / TUPLE, D): the lowest byte is the first value's"""
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
        np.zeros((*leading, capacity // TUPLE, head_dim), _TUPLE_TYPE),
        np.zeros((*leading, capacity), np.float32),
    )


def lay_out_keys(keys: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Returns keys (n, D) as they lie in a ring: (n / BLOCK, D / GROUP, BLOCK, GROUP)."""
    count, head_dim = keys.shape
    blocks = keys.reshape(count // BLOCK, BLOCK, head_dim // GROUP, GROUP)
    return np.ascontiguousarray(blocks.transpose(0, 2, 1, 3)) ^ FLIP


def lay_out_values(values: npt.NDArray[np.int8]) -> npt.NDArray[np.signedinteger[Any]]:
    """Returns values (n, D) as they lie in a ring: (n / TUPLE, D)."""
    count, head_dim = values.shape
    tuples = values.reshape(count // TUPLE, TUPLE, head_dim).transpose(0, 2, 1)
    return np.ascontiguousarray(tuples).view(_TUPLE_TYPE)[..., 0]
