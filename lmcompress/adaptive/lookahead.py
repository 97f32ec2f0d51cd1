"""Looking ahead: the likeliest next bytes, from predictions that are taken back afterwards.

The byte to come is the leaf of a tree of eight bits. The tree is searched depth first, the likelier
bit first, and left where not even a whole branch is as likely as the bytes found so far: what
remains are exactly the likeliest. On the way to a byte the lane learns what it would learn if that
byte came, as far as that changes the predictions of the bits after it: maps of counters are shared
by all bits, everything else belongs to one bit. The search ends with every table as it was.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.buckets import WAYS, probe_buckets
from lmcompress.adaptive.learning import learned
from lmcompress.adaptive.logistic import TOTAL
from lmcompress.adaptive.state import BUCKET, CONTEXTS, LANE, MAP_COUNT_LIMIT
from lmcompress.adaptive.steps import predict_bits
from lmcompress.jit.compiler import lean_kernel
from lmcompress.range_coder import PRECISION_BITS

LIKELIEST = 5
"""How many bytes are found."""
_CONTEXTS, _GROUP = len(CONTEXTS), WAYS * BUCKET

SEARCH = np.dtype(
    [
        # Of each depth: the node, how likely it is, and how likely a one is after it.
        ("c0", "i8", 8), ("low", "i8", 8), ("high", "i8", 8), ("chance", "f8", 8), ("one", "f8", 8),
        ("tried", "i8", 8),
        # What learning the bit after it changed.
        ("cells", "u4", (8, _CONTEXTS)), ("before", "u4", (8, _CONTEXTS)),
        # The places where buckets for bits 0 and 4 may be, before they were looked up.
        ("group_at", "i8", (2, _CONTEXTS)), ("groups", "u4", (2, _CONTEXTS, _GROUP)),
    ],
    align=True,
)  # fmt: skip


class Search(NamedTuple):
    """What `look_ahead` works with."""

    nodes: npt.NDArray[np.void]
    lane: npt.NDArray[np.void]
    """The lane as it was, (1,)."""
    freqs: npt.NDArray[np.float32]
    """Of a bit, (1, 2)."""


def new_search() -> Search:
    """Returns room for a search."""
    return Search(np.zeros(1, SEARCH), np.zeros(1, LANE), np.zeros((1, 2), np.float32))


@lean_kernel
def look_ahead(S, lanes, k, room, likeliest, chances):
    """Fills in row k: the likeliest bytes (n, LIKELIEST) and how likely they are, falling.

    The round's bytes must have been started, and none of its bits predicted.
    """
    search, i, depth = room.nodes[0], lanes[k], 0
    room.lane[0] = S.lanes[i]
    likeliest[k, :], chances[k, :] = 0, 0
    search.c0[0], search.low[0], search.high[0], search.chance[0] = 1, 0, 256, 1.0
    _enter(S, lanes, k, search, 0, room.freqs)
    while depth >= 0:
        if search.tried[depth] == 2:
            _leave(S, i, search, depth)
            depth -= 1
            if depth >= 0:
                _unlearn(S, search, depth)
            continue
        one = search.one[depth]
        y = np.int64((one >= 0.5) ^ (search.tried[depth] == 1))
        search.tried[depth] += 1
        chance = search.chance[depth] * (one if y else 1 - one)
        if chance <= chances[k, LIKELIEST - 1]:
            search.tried[depth] = 2  # the other bit is at most as likely
        elif depth == 7:
            _insert(likeliest, chances, k, (search.c0[7] << 1 | y) & 255, chance)
        else:
            _learn(S, search, depth, y)
            _step(search, depth, y, chance)
            depth += 1
            _enter(S, lanes, k, search, depth, room.freqs)
    S.lanes[i] = room.lane[0]


@lean_kernel
def _step(search, depth, y, chance):
    """Sets the node below, on the side of bit y."""
    middle = (search.low[depth] + search.high[depth]) >> 1
    search.c0[depth + 1] = search.c0[depth] << 1 | y
    search.low[depth + 1] = middle if y else search.low[depth]
    search.high[depth + 1] = search.high[depth] if y else middle
    search.chance[depth + 1] = chance


@lean_kernel
def _enter(S, lanes, k, search, depth, freqs):
    """Predicts the bit after a node."""
    lane = S.lanes[lanes[k]]
    lane.c0, lane.low, lane.high = search.c0[depth], search.low[depth], search.high[depth]
    if depth == 0 or depth == 4:
        _save_groups(S, lanes[k], search, depth >> 2)
    predict_bits(S, lanes, depth, k, k + 1, freqs, 0)
    search.one[depth] = (np.float64(freqs[0, 1]) + 1) / (1 << PRECISION_BITS)
    search.tried[depth] = 0
    for j in range(_CONTEXTS):
        search.cells[depth, j] = lane.cells[j]


@lean_kernel
def _leave(S, i, search, depth):
    """Gives buckets back that the bit after a node may have taken over."""
    if depth != 0 and depth != 4:
        return
    half, lane = depth >> 2, S.lanes[i]
    for j in range(_CONTEXTS):
        at = search.group_at[half, j]
        for n in range(_GROUP):
            S.slots[at + n] = search.groups[half, j, n]
        lane.buckets[j] = lane.first_buckets[j]


@lean_kernel
def _save_groups(S, i, search, half):
    """Keeps the buckets among which the next four bits' are looked up."""
    lane, mask = S.lanes[i], np.int64(S.slots.shape[0] // BUCKET - 2)
    probe_buckets(S, i)
    for j in range(_CONTEXTS):
        at = (lane.probes[j] & mask & ~(WAYS - 1)) * BUCKET
        search.group_at[half, j] = at
        for n in range(_GROUP):
            search.groups[half, j, n] = S.slots[at + n]


@lean_kernel
def _learn(S, search, depth, y):
    """Learns that bit y came after a node, where later bits of the byte depend on it."""
    shared, target = S.shared[0], np.int64(TOTAL - 1 if y else 0)
    for j in range(_CONTEXTS):
        cell = search.cells[depth, j]
        search.before[depth, j] = shared.counter_maps[j, cell]
        changed = learned(shared.counter_maps[j, cell], target, shared.rates, MAP_COUNT_LIMIT)
        shared.counter_maps[j, cell] = changed


@lean_kernel
def _unlearn(S, search, depth):
    for j in range(_CONTEXTS):
        S.shared[0].counter_maps[j, search.cells[depth, j]] = search.before[depth, j]


@lean_kernel
def _insert(likeliest, chances, k, byte, chance):
    """Enters a byte among the likeliest, in order."""
    at = LIKELIEST - 1
    while at > 0 and chances[k, at - 1] < chance:
        likeliest[k, at], chances[k, at] = likeliest[k, at - 1], chances[k, at - 1]
        at -= 1
    likeliest[k, at], chances[k, at] = byte, chance
