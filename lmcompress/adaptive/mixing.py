"""Mixing in the logistic domain, and adaptive probability maps (Mahoney, 2005)."""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.contexts import hash_with, stretch
from lmcompress.adaptive.logistic import LIMIT, TOTAL, TOTAL_BITS
from lmcompress.adaptive.simd import add_scaled, dot
from lmcompress.adaptive.state import (
    GPT_INPUT,
    MAP_ROWS,
    MAP_SIZE,
    MAP_STEP,
    MAPS,
    MATCHES,
    MIXER_CONTEXTS,
    MIXER_ROW,
    ORDER_1_INPUT,
    PARTS,
    SETS,
)
from lmcompress.jit.compiler import lean_kernel
from lmcompress.jit.prefetch import prefetch

_FLOOR = 8
"""A bit's probability stays within _FLOOR .. TOTAL - _FLOOR."""
_MAP_RATE = 6
_MAPS_PART = PARTS.index("probability maps")
_ORDER_1_RATE = 5
_PLACES = MIXER_CONTEXTS >> 8
"""Places of a byte in its token that choose weights of their own."""


@lean_kernel
def clamp(x, limit):
    """Returns x clamped to -limit .. limit."""
    return -limit if x < -limit else (limit if x > limit else x)


@lean_kernel
def set_learning_rate(shared, count):
    """Sets the mixers' rate for the next `count` symbols, by the number learned from before."""
    falling = (shared.first_rate - shared.last_rate) * 4096 // (4096 + shared.learned)
    shared.learning_rate = shared.last_rate + falling
    shared.learned += count


@lean_kernel
def start_gpt(lane, freqs, row):
    """Takes the GPT's freqs (n, 256) for the next byte from a row."""
    total = np.int64(0)
    for v in range(256):
        lane.cumulative[v] = total
        total += np.int64(freqs[row, v]) + 1
    lane.cumulative[256] = total
    lane.low, lane.high = 0, 256


@lean_kernel
def predict_gpt(S, i):
    """Sets the inputs of the GPT, order 1 and the constant; returns the GPT's stretched p."""
    lane, shared = S.lanes[i], S.shared[0]
    middle = (lane.low + lane.high) >> 1
    upper = lane.cumulative[lane.high] - lane.cumulative[middle]
    whole = lane.cumulative[lane.high] - lane.cumulative[lane.low]
    p = np.int64((upper << TOTAL_BITS) // whole)
    gpt = np.int64(stretch(shared, min(max(p, 1), TOTAL - 1)))
    lane.inputs[GPT_INPUT] = gpt
    lane.inputs[GPT_INPUT + 1] = (p - TOTAL // 2) >> (TOTAL_BITS - 11)
    lane.inputs[ORDER_1_INPUT] = stretch(
        shared, np.int64(shared.order_1[lane.recent & 255, lane.c0])
    )
    lane.inputs[ORDER_1_INPUT + 1] = 256
    return gpt


@lean_kernel
def sureness_of(gpt):
    """Returns a class of the GPT's stretched probability, 0 .. 15."""
    return (gpt + LIMIT) * 15 // (2 * LIMIT)


@lean_kernel
def choose_sets(S, i, bit, gpt, match_class):
    """Chooses the weights of all mixers but the last for lane i's bit, before they are needed."""
    lane, shared = S.lanes[i], S.shared[0]
    lane.chosen[0] = (lane.c0 + 256 * min(lane.place, _PLACES - 1)) * MIXER_ROW
    lane.chosen[1] = (MIXER_CONTEXTS + match_class * 8 + bit) * MIXER_ROW
    by_gpt = (sureness_of(gpt) * 8 + bit) * 8 + ((lane.recent & 255) >> 5)
    lane.chosen[2] = (2 * MIXER_CONTEXTS + by_gpt) * MIXER_ROW
    for s in range(SETS - 1):
        for k in range(0, MIXER_ROW, 16):
            prefetch(shared.mixers, lane.chosen[s] + k)


@lean_kernel
def choose_maps(S, i):
    """Chooses the row of each probability map for lane i's next bit, before it is needed."""
    lane, shared = S.lanes[i], S.shared[0]
    expected = np.int64(-1)
    for m in range(MATCHES):
        if expected < 0 and lane.match_cell[m] >= 0:
            expected = lane.expected[m] & 255
    order_3 = hash_with(hash_with(lane.recent & 0xFFFF, (lane.recent >> 16) & 255), lane.c0)
    lane.map_rows[0] = (lane.c0 | (lane.recent & 255) << 8) * MAP_SIZE
    lane.map_rows[1] = (MAP_ROWS + (order_3 & 0xFFFF)) * MAP_SIZE
    lane.map_rows[2] = (2 * MAP_ROWS + (lane.c0 | (expected + 1) << 8)) * MAP_SIZE
    for k in range(MAPS):
        prefetch(shared.maps, lane.map_rows[k])
        prefetch(shared.maps, lane.map_rows[k] + MAP_SIZE // 2)


@lean_kernel
def mix(S, i, bit, hits):
    """Returns the probability of a one, out of TOTAL, from lane i's inputs."""
    lane, shared = S.lanes[i], S.shared[0]
    lane.chosen[3] = (3 * MIXER_CONTEXTS + hits * 8 + bit) * MIXER_ROW
    mixed = np.int64(0)
    for s in range(SETS):
        guess = clamp(dot(shared.mixers, lane.chosen[s], lane.inputs) >> 16, LIMIT)
        lane.dots[s] = guess
        mixed += guess * shared.final[lane.c0, s]
    mixed = clamp(mixed >> 16, LIMIT)
    lane.mixed = shared.squash[mixed + LIMIT]
    return _correct(S, i, mixed)


@lean_kernel
def _correct(S, i, mixed):
    """Returns the mean of the mixed probability and its correction in three contexts."""
    lane, shared = S.lanes[i], S.shared[0]
    lane.map_column = (mixed + LIMIT + 1) // MAP_STEP
    lane.fraction = (mixed + LIMIT + 1) % MAP_STEP
    total = np.int64(lane.mixed)
    for k in range(MAPS):
        at = lane.map_rows[k] + lane.map_column
        left, right = np.int64(shared.maps[at]), np.int64(shared.maps[at + np.uint64(1)])
        total += (left * (MAP_STEP - lane.fraction) + right * lane.fraction) // MAP_STEP
    p = lane.mixed if (shared.left_out >> _MAPS_PART) & 1 else total >> 2
    return min(max(p, _FLOOR), TOTAL - _FLOOR)


@lean_kernel
def learn_mixing(S, i, y, target):
    """Moves weights and maps towards lane i's bit y."""
    lane, shared = S.lanes[i], S.shared[0]
    error = (y << TOTAL_BITS) - lane.mixed
    for s in range(SETS):
        p = np.int64(shared.squash[lane.dots[s] + LIMIT])
        own_error = np.int32(((y << TOTAL_BITS) - p) * shared.learning_rate)
        shared.final[lane.c0, s] += (lane.dots[s] * error) >> (TOTAL_BITS - 1)
        add_scaled(shared.mixers, lane.chosen[s], lane.inputs, own_error, TOTAL_BITS + 4)
    nearest = lane.map_column + (2 * lane.fraction >= MAP_STEP)
    for k in range(MAPS):
        at = lane.map_rows[k] + nearest
        shared.maps[at] += (target - shared.maps[at]) >> _MAP_RATE


@lean_kernel
def learn_gpt(S, i, y, target):
    """Moves order 1 towards lane i's bit y, and narrows the GPT's interval to it."""
    lane, shared = S.lanes[i], S.shared[0]
    last = lane.recent & 255
    shared.order_1[last, lane.c0] += (target - shared.order_1[last, lane.c0]) >> _ORDER_1_RATE
    middle = (lane.low + lane.high) >> 1
    lane.low, lane.high = (middle, lane.high) if y else (lane.low, middle)
