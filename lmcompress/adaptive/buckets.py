"""Buckets: the counters of four bits of a byte in one context, in one cache line.

The first of a byte's two buckets also remembers the byte that came last in its context, and how
often in a row: a run. As long as a context has no run, it is new; then its second bucket is a blank
one, for a context that never comes again would waste it, and the run says as much.
"""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.hashing import hash_with
from lmcompress.adaptive.learning import is_left_out, learned
from lmcompress.adaptive.logistic import TOTAL
from lmcompress.adaptive.state import BUCKET, CONTEXTS, COUNT_LIMIT, FRESH
from lmcompress.jit.compiler import lean_kernel
from lmcompress.jit.prefetch import prefetch

_CONTEXTS = len(CONTEXTS)
WAYS = 4
"""Places that a bucket may be in."""
_CHECK, _RUN_SHIFT = 0xFFFF, 16


@lean_kernel
def probe_buckets(S, i):
    """Computes each context's bucket for the next four bits, and asks for its memory."""
    lane, mask = S.lanes[i], np.int64(S.slots.shape[0] // BUCKET - 2)
    for j in range(_CONTEXTS):
        if is_left_out(S.shared[0], j):
            continue
        h = hash_with(lane.hashes[j], lane.c0)
        lane.probes[j] = h
        prefetch(S.slots, (h & mask) * BUCKET)
        prefetch(S.slots, ((h & mask) ^ 1) * BUCKET)


@lean_kernel
def find_buckets(S, i, bit):
    """Finds, or takes over, the bucket of each context for the next four bits."""
    lane, blank = S.lanes[i], S.slots.shape[0] - BUCKET
    for j in range(_CONTEXTS):
        if is_left_out(S.shared[0], j):
            continue
        if bit == 0:
            lane.buckets[j] = _find(S, lane.probes[j], np.int64(0), 1)
            lane.first_buckets[j] = lane.buckets[j]
        else:
            run = run_of(S, lane, j)
            lane.buckets[j] = _find(S, lane.probes[j], run, np.int64(lane.c0)) if run else blank


@lean_kernel
def _find(S, h, run, c0):
    """Returns the index of a bucket; a new one has seen a run's byte, if that begins with c0."""
    slots = S.slots
    mask, check = np.int64(slots.shape[0] // BUCKET - 2), np.uint32((h >> 28) & _CHECK)
    chosen, least = np.int64(0), np.int64(1 << 32)
    for way in range(WAYS):
        at = ((h & mask) ^ way) * BUCKET
        if slots[at] & _CHECK == check:
            return at
        count = np.int64(slots[at + 1] & 1023)
        if count < least:  # replace the one whose first counter has seen least
            chosen, least = at, count
    slots[chosen] = check
    for node in range(1, BUCKET):
        slots[chosen + node] = FRESH
    expected = run & 255 | 256
    if run and expected >> 4 == c0:
        _replay(S, chosen, expected)
    return chosen


@lean_kernel
def _replay(S, bucket, expected):
    """Learns the last four bits of a byte that came before the bucket was there."""
    node = 1
    for bit in range(4):
        y = (expected >> (3 - bit)) & 1
        at = bucket + node
        target = np.int64(TOTAL - 1 if y else 0)
        S.slots[at] = learned(S.slots[at], target, S.shared[0].rates, COUNT_LIMIT)
        node = node << 1 | y


@lean_kernel
def node_of(c0, bit):
    """Returns which counter of a bucket is the next bit's."""
    return c0 if bit < 4 else (c0 & ((1 << (bit - 4)) - 1)) | (1 << (bit - 4))


@lean_kernel
def run_of(S, lane, j):
    """Returns the length and byte of context j's run: 0 if there is none."""
    return np.int64(S.slots[lane.first_buckets[j]]) >> _RUN_SHIFT


@lean_kernel
def end_runs(S, i, c):
    """Enters the byte c that came into the run of each of lane i's contexts."""
    lane, slots = S.lanes[i], S.slots
    for j in range(_CONTEXTS):
        if is_left_out(S.shared[0], j):
            continue
        at = lane.first_buckets[j]
        run = run_of(S, lane, j)
        length = min((run >> 8) + 1, 255) if run & 255 == c else 1
        check = slots[at] & np.uint32(_CHECK)
        slots[at] = np.uint32((length << 8 | c) << _RUN_SHIFT) | check
