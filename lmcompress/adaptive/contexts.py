"""Contexts: what the text looks like where the next byte comes, as one hash each."""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.hashing import hash_with
from lmcompress.adaptive.state import CONTEXTS, ORDERS
from lmcompress.adaptive.text import above, shape
from lmcompress.jit.compiler import lean_kernel

_CONTEXTS, _ORDERS = len(CONTEXTS), len(ORDERS)


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
            lane.hashes[j] = h
            j += 1
    last, over, beyond = lane.recent & 255, above(S, lane, 0), above(S, lane, 1)
    lane.hashes[_ORDERS] = hash_with(lane.word, last)
    lane.hashes[_ORDERS + 1] = hash_with(lane.word, lane.word_before)
    lane.hashes[_ORDERS + 2] = hash_with(lane.at - lane.line, over)
    lane.hashes[_ORDERS + 3] = hash_with(hash_with(lane.first, lane.word), last)
    lane.hashes[_ORDERS + 4] = hash_with(hash_with(hash_with(last, over), beyond), lane.fields)
    lane.hashes[_ORDERS + 5] = hash_with(hash_with(lane.tag, lane.word), last)
    lane.hashes[_ORDERS + 6] = shape(S, lane)
    for j in range(_CONTEXTS):
        lane.hashes[j] = hash_with(lane.hashes[j], j)
        if lane.place:  # within a token of several bytes
            lane.hashes[j] = hash_with(lane.hashes[j], 0)
