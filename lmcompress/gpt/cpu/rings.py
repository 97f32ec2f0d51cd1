"""Where the keys and values of past positions lie: rings, so that the last ones are one run or two.

Position p of a lane lies in slot p % capacity. A register's worth of keys stands together, four
channels of each side by side; a channel's values of two or four keys stand side by side: as this
processor's instructions read them. Attention then reads memory in one stream from end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.tiles import VNNI, first_supported
from lmcompress.jit.compiler import device_function

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
    """The keys and values of all layers, lanes and key heads: bytes, a scale for each slot.

    Each kind in one piece, layer by layer, so that the system gives it large pages.
    """

    keys: npt.NDArray[np.int8]
    key_scales: npt.NDArray[np.float32]
    values: npt.NDArray[np.signedinteger[Any]]
    value_scales: npt.NDArray[np.float32]
    capacities: npt.NDArray[np.int64]
    """Slots of each layer's rings, a multiple of BLOCK."""


def new_rings(
    lanes: int, heads: int, windows: Sequence[int], max_steps: int, head_dim: int
) -> Rings:
    """Returns empty rings.

    A block of max_steps keys enters before its first query looks: there is room for both.
    """
    capacities = np.array([-(-(window + max_steps - 1) // BLOCK) * BLOCK for window in windows])
    slots, groups = lanes * heads * int(capacities.sum()), -(-head_dim // GROUP)
    return Rings(
        np.zeros(slots * groups * GROUP, np.int8),
        np.zeros(slots, np.float32),
        np.zeros(slots // TUPLE * head_dim, _TUPLE_TYPE),
        np.zeros(slots, np.float32),
        capacities,
    )


def rings_of_layer(rings, i, lanes, heads, head_dim):
    """Returns a layer's rings.

    Keys (lanes, heads, capacity / BLOCK, ceil(D / GROUP), BLOCK, GROUP), flipped by FLIP, values
    (lanes, heads, capacity / TUPLE, D), of which the lowest byte is the first one's, and behind
    each its scales, (lanes, heads, capacity).
    """
    keys, key_scales, values, value_scales, capacities = rings
    n, groups = capacities[i], (head_dim + GROUP - 1) // GROUP
    a = lanes * heads * capacities[:i].sum()
    b, key = a + lanes * heads * n, groups * GROUP
    return (
        keys[a * key : b * key].reshape(lanes, heads, n // BLOCK, groups, BLOCK, GROUP),
        key_scales[a:b].reshape(lanes, heads, n),
        values[a // TUPLE * head_dim : b // TUPLE * head_dim].reshape(
            lanes, heads, n // TUPLE, head_dim
        ),
        value_scales[a:b].reshape(lanes, heads, n),
    )


layer_rings = device_function(rings_of_layer)


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
