"""Adaptive probability maps: what came of such a probability in such a context (Mahoney, 2005)."""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.hashing import hash_with
from lmcompress.adaptive.learning import is_left_out
from lmcompress.adaptive.logistic import LIMIT, TOTAL
from lmcompress.adaptive.state import MAP_ROWS, MAP_SIZE, MAP_STEP, MAPS, PARTS
from lmcompress.jit.compiler import lean_kernel
from lmcompress.jit.prefetch import prefetch

_FLOOR = 8
"""A bit's probability stays within _FLOOR .. TOTAL - _FLOOR."""
_RATE = 6
_MAPS_PART = PARTS.index("probability maps")


@lean_kernel
def choose_maps(S, i):
    """Chooses the row of each map for lane i's next bit, before it is needed."""
    lane, shared = S.lanes[i], S.shared[0]
    if is_left_out(shared, _MAPS_PART):
        return
    order_3 = hash_with(hash_with(lane.recent & 0xFFFF, (lane.recent >> 16) & 255), lane.c0)
    choose_map(lane, 0, lane.c0 | (lane.recent & 255) << 8)
    choose_map(lane, 1, order_3 & 0xFFFF)
    choose_map(lane, 2, lane.c0 | lane.likely << 8)
    for k in range(MAPS):
        prefetch(shared.maps, lane.map_rows[k])
        prefetch(shared.maps, lane.map_rows[k] + MAP_SIZE // 2)


@lean_kernel
def choose_map(lane, k, row):
    """Chooses a row, below MAP_ROWS, of a map."""
    lane.map_rows[k] = (k * MAP_ROWS + row) * MAP_SIZE


@lean_kernel
def correct(S, i, mixed):
    """Returns the mean of the mixed probability and its correction in three contexts."""
    lane, shared = S.lanes[i], S.shared[0]
    lane.map_column = (mixed + LIMIT + 1) // MAP_STEP
    lane.fraction = (mixed + LIMIT + 1) % MAP_STEP
    p = np.int64(shared.squash[mixed + LIMIT])
    if is_left_out(shared, _MAPS_PART):
        return min(max(p, _FLOOR), TOTAL - _FLOOR)
    for k in range(MAPS):
        at = lane.map_rows[k] + lane.map_column
        left, right = np.int64(shared.maps[at]), np.int64(shared.maps[at + np.uint64(1)])
        p += (left * (MAP_STEP - lane.fraction) + right * lane.fraction) // MAP_STEP
    return min(max(p >> 2, _FLOOR), TOTAL - _FLOOR)


@lean_kernel
def learn_maps(S, i, target):
    """Moves the nearer point of each map towards target."""
    lane, shared = S.lanes[i], S.shared[0]
    if is_left_out(shared, _MAPS_PART):
        return
    nearest = lane.map_column + (2 * lane.fraction >= MAP_STEP)
    for k in range(MAPS):
        at = lane.map_rows[k] + nearest
        shared.maps[at] += (target - shared.maps[at]) >> _RATE
