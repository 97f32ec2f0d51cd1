"""Match models: the byte that followed the last time the same bytes were read.

A match continues past a wrong byte, remembering its misses, until a better one is found or too
many of the last sixteen bytes were wrong: records differ in a field and agree again after it.
"""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.hashing import hash_with
from lmcompress.adaptive.learning import is_left_out
from lmcompress.adaptive.logistic import TOTAL, TOTAL_BITS, stretch
from lmcompress.adaptive.state import MATCH_INPUT, MATCHES, MIN_MATCH, PARTS
from lmcompress.jit.compiler import lean_kernel
from lmcompress.jit.prefetch import prefetch

_MAX_MISSES = 8
_MAX_VERIFIED = 40
_RATE = 6
_FIRST_PART = PARTS.index(f"match {MIN_MATCH[0]}")


@lean_kernel
def count_ones(x):
    """Returns the number of ones in x >= 0."""
    count = 0
    while x:
        x &= x - 1
        count += 1
    return count


@lean_kernel
def length_class(length):
    """Returns 0 .. 28 for a match's length."""
    if length < 16:
        return length
    if length < 32:
        return 16 + ((length - 16) >> 2)
    if length < 64:
        return 20 + ((length - 32) >> 3)
    return 24 + (length >> 7) if length < 512 else 28


@lean_kernel
def start_matches(S, i):
    """Looks up the byte that each match of lane i expects; other lanes' present ones are unknown.

    256 + the byte, so that its bits can be compared with c0; -1 if nothing is expected.
    """
    lane = S.lanes[i]
    for m in range(MATCHES):
        at = lane.pointer[m]
        is_known = at >= 0 and (at < S.shared[0].base or at < S.lanes[_lane_at(S, at)].at)
        lane.expected[m] = 256 | np.int64(S.history[at]) if is_known else -1


@lean_kernel
def predict_matches(S, i, bit):
    """Sets each match's inputs; returns a class (0 .. 30) of the first that predicts the bit.

    lane.likely becomes one more than the byte that this one expects, 0 if there is none.
    """
    lane, shared = S.lanes[i], S.shared[0]
    found, lane.likely = 0, 0
    for m in range(MATCHES):
        lane.match_cell[m] = -1
        lane.inputs[MATCH_INPUT + 2 * m] = lane.inputs[MATCH_INPUT + 2 * m + 1] = 0
        expected = lane.expected[m]
        if is_left_out(shared, _FIRST_PART + m) or expected < 0 or expected >> (8 - bit) != lane.c0:
            continue
        size, missed = length_class(lane.length[m]), count_ones(lane.misses[m] & 255)
        cell = (size * 4 + min(missed, 3)) * 8 + bit
        lane.match_cell[m] = cell
        p = np.int64(shared.match_rates[m, cell])
        sign = 1 if (expected >> (7 - bit)) & 1 else -1
        lane.inputs[MATCH_INPUT + 2 * m] = sign * stretch(shared, p)
        lane.inputs[MATCH_INPUT + 2 * m + 1] = sign * ((p - TOTAL // 2) >> (TOTAL_BITS - 12))
        if not found:
            lane.likely = 1 + (expected & 255)
            found = 1 + min(size >> 1, 14) + (15 if missed else 0)
    return found


@lean_kernel
def learn_matches(S, i, bit, y):
    """Learns how often matches of this length and past are right."""
    lane, shared = S.lanes[i], S.shared[0]
    for m in range(MATCHES):
        cell = lane.match_cell[m]
        if cell >= 0:
            target = TOTAL - 1 if ((lane.expected[m] >> (7 - bit)) & 1) == y else 0
            p = shared.match_rates[m, cell]
            shared.match_rates[m, cell] = p + ((target - p) >> _RATE)


@lean_kernel
def probe_matches(S, i):
    """Finds the index slot of lane i's newest bytes, which end before lane.at."""
    lane, size = S.lanes[i], S.match_index.shape[0] // MATCHES
    for m in range(MATCHES):
        lane.match_slot[m] = -1
        is_long = lane.at - lane.begin >= MIN_MATCH[m]
        if is_long and not is_left_out(S.shared[0], _FIRST_PART + m):
            h = np.int64(0 if m else i)
            for back in range(1, MIN_MATCH[m] + 1):
                h = hash_with(h, np.int64(S.history[lane.at - back]))
            lane.match_slot[m] = m * size + (h & (size - 1))
            prefetch(S.match_index, lane.match_slot[m])


@lean_kernel
def end_matches(S, i, c):
    """Follows lane i's matches past byte c, the one before lane.at, and looks for better ones."""
    lane = S.lanes[i]
    for m in range(MATCHES):
        _follow(S, lane, m, c)
        slot, shortest = lane.match_slot[m], MIN_MATCH[m]
        if slot < 0:
            continue
        candidate = S.match_index[slot]
        if candidate >= 0 and lane.length[m] < shortest + 2 and candidate != lane.pointer[m]:
            before = min(candidate - _lane_begin(S, candidate), lane.at - lane.begin)
            length = _agreement(S.history, candidate, lane.at, before)
            if length >= shortest and length > lane.length[m]:
                lane.pointer[m], lane.length[m], lane.misses[m] = candidate, length, 0
        if lane.at < lane.end:
            S.match_index[slot] = lane.at


@lean_kernel
def _follow(S, lane, m, c):
    if lane.pointer[m] < 0:
        return
    lane.pointer[m] += 1
    right = lane.expected[m] == (256 | c)
    lane.length[m] = lane.length[m] + 1 if right else 0
    lane.misses[m] = ((lane.misses[m] << 1) | (not right)) & 0xFFFF
    is_lost = lane.expected[m] < 0 or count_ones(lane.misses[m]) > _MAX_MISSES
    # A lane's first byte does not follow the byte before it.
    if is_lost or lane.pointer[m] == _lane_begin(S, lane.pointer[m]):
        lane.pointer[m], lane.length[m] = -1, 0


@lean_kernel
def _lane_at(S, at):
    """Returns the lane of a position, which is not a prompt's."""
    low, high = 0, S.lanes.shape[0]
    while high - low > 1:
        middle = (low + high) >> 1
        low, high = (middle, high) if S.lanes[middle].begin <= at else (low, middle)
    return low


@lean_kernel
def _lane_begin(S, at):
    """Returns where the lane of a position begins; a prompt is one text, whatever its lanes."""
    return np.int64(0) if at < S.shared[0].base else S.lanes[_lane_at(S, at)].begin


@lean_kernel
def _agreement(history, a, b, limit):
    """Returns how many of up to `limit` bytes before a and b are the same."""
    length, limit = 0, min(limit, _MAX_VERIFIED)
    while length < limit and history[a - 1 - length] == history[b - 1 - length]:
        length += 1
    return length
