"""Counters in hashed contexts: what followed when the text last looked like this?

A bucket holds the 15 counters of four bits of a byte in one context, in one cache line. A counter
is an adaptive probability and how often it was seen; a map from both to the probability that held
in such cases, learned for each context, tells how far to trust the counters of this file.
"""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.logistic import FINE_BITS, STRETCH_SIZE, TOTAL, TOTAL_BITS
from lmcompress.adaptive.state import (
    CERTAINTIES,
    CONTEXTS,
    COUNT_LIMIT,
    FRESH,
    MAP_COUNT_LIMIT,
    ORDERS,
)
from lmcompress.jit.compiler import lean_kernel
from lmcompress.jit.prefetch import prefetch

_CONTEXTS, _ORDERS = len(CONTEXTS), len(ORDERS)
_HASH_BITS = (1 << 44) - 1
_CERTAINTY_SHIFT = TOTAL_BITS - (CERTAINTIES.bit_length() - 1)
_WELL_KNOWN = 24
"""The largest count of a counter."""


@lean_kernel
def hash_with(h, value):
    """Returns 44 bits of h and value."""
    h = ((h + value + 1) * 0x2C9277B5) & _HASH_BITS
    return h ^ (h >> 17)


@lean_kernel
def stretch(shared, p):
    """Returns ln(p / (1 - p)) for p out of TOTAL, exact at the ends."""
    rest, sign = (TOTAL - p, -1) if p > TOTAL // 2 else (p, 1)
    if rest >= STRETCH_SIZE << FINE_BITS[1]:
        return sign * shared.stretch[0, rest >> FINE_BITS[0]]
    if rest >= STRETCH_SIZE:
        return sign * shared.stretch[1, rest >> FINE_BITS[1]]
    return sign * shared.stretch[2, rest]


@lean_kernel
def start_contexts(S, i):
    """Hashes lane i's contexts for its next byte."""
    lane = S.lanes[i]
    h, recent = np.int64(0), lane.recent
    j = 0
    for order in range(1, ORDERS[_ORDERS - 1] + 1):
        h = hash_with(h, recent & 255)
        recent >>= 8
        if order == ORDERS[j]:
            lane.hashes[j] = hash_with(h, j)
            j += 1
    last, back = lane.recent & 255, (lane.recent >> 8) & 0xFFFFFF
    position = lane.line_above + lane.at - lane.line
    is_above = lane.line_above >= 0 and position < lane.line
    above = np.int64(S.history[position]) if is_above else 0
    column = hash_with(lane.at - lane.line, above)
    line_start = hash_with(hash_with(lane.first, lane.word), last)
    lane.hashes[_ORDERS] = hash_with(hash_with(lane.word, last), _ORDERS)
    lane.hashes[_ORDERS + 1] = hash_with(hash_with(lane.word, lane.word_before), _ORDERS + 1)
    lane.hashes[_ORDERS + 2] = hash_with(column, _ORDERS + 2)
    lane.hashes[_ORDERS + 3] = hash_with(line_start, _ORDERS + 3)
    lane.hashes[_ORDERS + 4] = hash_with(hash_with(last, above), _ORDERS + 4)
    lane.hashes[_ORDERS + 5] = hash_with(back, _ORDERS + 5)
    if lane.place:  # within a token of several bytes
        for j in range(_CONTEXTS):
            lane.hashes[j] = hash_with(lane.hashes[j], 0)


@lean_kernel
def probe_buckets(S, i):
    """Computes and prefetches each context's bucket for the next four bits."""
    lane, mask = S.lanes[i], (S.slots.shape[0] >> 4) - 1
    for j in range(_CONTEXTS):
        h = hash_with(lane.hashes[j], lane.c0)
        lane.probes[j] = h
        prefetch(S.slots, (h & mask) << 4)
        prefetch(S.slots, ((h & mask) << 4) ^ 16)


@lean_kernel
def find_buckets(S, i):
    """Finds, or takes over, the bucket of each context for the next four bits."""
    lane, slots = S.lanes[i], S.slots
    mask = (slots.shape[0] >> 4) - 1
    for j in range(_CONTEXTS):
        h = lane.probes[j]
        check = np.uint32((h >> 28) & 0xFFFF)
        first = (h & mask) << 4
        second = first ^ 16
        if slots[first] == check:
            lane.buckets[j] = first
        elif slots[second] == check:
            lane.buckets[j] = second
        else:
            # Replace the one whose first counter has seen less.
            less = (slots[second + 1] & 1023) < (slots[first + 1] & 1023)
            chosen = second if less else first
            slots[chosen] = check
            for node in range(1, 16):
                slots[chosen + node] = FRESH
            lane.buckets[j] = chosen


@lean_kernel
def node_of(c0, bit):
    """Returns which counter of a bucket is the next bit's."""
    return c0 if bit < 4 else (c0 & ((1 << (bit - 4)) - 1)) | (1 << (bit - 4))


@lean_kernel
def predict_contexts(S, i, bit):
    """Sets each context's inputs for lane i's bit; returns how many orders were seen before.

    Without branches, since they would be mispredicted: what was never seen has a class of its own
    in the maps, where what it learns does not matter, and its inputs are masked.
    """
    lane, shared = S.lanes[i], S.shared[0]
    node, hits = node_of(lane.c0, bit), 0
    for j in range(_CONTEXTS):
        counter = np.int64(S.slots[lane.buckets[j] + node])
        count, p = counter & 1023, counter >> 10
        seen = np.int64(count > 0) & ~(shared.left_out >> j)
        cell = shared.count_class[count] * CERTAINTIES + (p >> _CERTAINTY_SHIFT)
        lane.cells[j] = cell
        # The coarse table alone: the finer ones would take branches.
        mapped = np.int64(shared.counter_maps[j, cell]) >> 10
        lane.inputs[2 * j] = shared.stretch[0, mapped >> FINE_BITS[0]] * seen
        sureness = ((p - TOTAL // 2) * min(count, _WELL_KNOWN)) >> 15
        lane.inputs[2 * j + 1] = sureness * seen
        hits += seen & (j < _ORDERS)
    return hits


@lean_kernel
def learned(counter, target, rates, limit):
    """Returns a counter that has seen target once more."""
    counter = np.int64(counter)
    count, p = counter & 1023, counter >> 10
    p += ((target - p) * rates[count]) >> 16
    return np.uint32(p << 10 | min(count + 1, limit))


@lean_kernel
def learn_contexts(S, i, bit, target):
    """Moves lane i's counters, and the maps that they were looked up in, towards target."""
    lane, shared = S.lanes[i], S.shared[0]
    node, rates, maps = node_of(lane.c0, bit), shared.rates, shared.counter_maps
    for j in range(_CONTEXTS):
        cell = lane.cells[j]
        maps[j, cell] = learned(maps[j, cell], target, rates, MAP_COUNT_LIMIT)
        at = lane.buckets[j] + node
        S.slots[at] = learned(S.slots[at], target, rates, COUNT_LIMIT)


@lean_kernel
def end_contexts(lane, c):
    """Enters byte c into lane's words, lines and token; lane.at is its position."""
    lane.recent = (lane.recent << 8) | c
    lane.place, lane.spelled = lane.place + 1, hash_with(lane.spelled, c)
    if 97 <= c <= 122 or 65 <= c <= 90 or c >= 128:
        lane.word = hash_with(lane.word, c)
    elif lane.word:
        lane.word_before, lane.word = lane.word, 0
    if lane.at == lane.line:
        lane.first = c
    if c == 10:
        lane.line_above, lane.line = lane.line, lane.at + 1


@lean_kernel
def end_token(lane):
    """Begins the next token."""
    lane.place, lane.spelled = 0, 0
