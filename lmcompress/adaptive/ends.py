"""Whether a token ends after the byte just read, where it may both end and go on.

A decision of its own, with tables of its own: counters in the contexts of the byte to come, mixed
with the GPT's opinion and corrected as a bit is.
"""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.contexts import start_contexts
from lmcompress.adaptive.counters import learn_counters, predict_counters
from lmcompress.adaptive.hashing import hash_with
from lmcompress.adaptive.logistic import TOTAL, TOTAL_BITS
from lmcompress.adaptive.low_orders import set_gpt_inputs
from lmcompress.adaptive.maps import choose_map, correct, learn_maps
from lmcompress.adaptive.mixing import choose_set, learn_mixing, mix, sureness_of
from lmcompress.adaptive.state import (
    BUCKET,
    CONTEXTS,
    FRESH,
    WEIGHT_ONE,
    State,
    Tuning,
    new_state,
    state_bytes,
)
from lmcompress.jit.compiler import lean_kernel
from lmcompress.jit.prefetch import prefetch
from lmcompress.range_coder import PRECISION_BITS

TUNING = Tuning(WEIGHT_ONE * 9 // 10, WEIGHT_ONE * 2 // 100, 60, 3)
_CONTEXTS, _LAST = len(CONTEXTS), len(CONTEXTS) - 1
_SLOT_BITS = 18
"""2**18 counters for each context, without checks."""
_SETS, _FINALS = 4, 1
_PLACES = 8
"""A token's bytes so far count up to the last of these."""


def new_ends(lanes: int, primed: State | None = None) -> State:
    """Returns what the stage knows of tokens' ends before a segment, or after `primed`."""
    state = new_state([0] * lanes, TUNING, primed)
    if primed:
        return state
    state.shared["final"] = WEIGHT_ONE // _SETS
    return state._replace(slots=np.full((_CONTEXTS << _SLOT_BITS) + BUCKET, FRESH))


def ends_bytes(lanes: int) -> int:
    """Returns the bytes that `new_ends` takes."""
    return state_bytes(0, lanes) + (4 * _CONTEXTS << _SLOT_BITS)


@lean_kernel
def prepare_end(S, E, i, end):
    """Looks up what predicts the end of lane i's token; the GPT says end / 2**PRECISION_BITS."""
    lane, flag, shared = S.lanes[i], E.lanes[i], E.shared[0]
    place = min(lane.place, _PLACES) - 1
    last = lane.recent & 255
    start_contexts(S, i)
    lane.hashes[_LAST] = lane.spelled
    for j in range(_CONTEXTS):
        h = hash_with(lane.hashes[j], place)
        flag.buckets[j] = (j << _SLOT_BITS) + (h & ((1 << _SLOT_BITS) - 1))
        prefetch(E.slots, np.int64(flag.buckets[j]))

    sureness = sureness_of(set_gpt_inputs(shared, flag, end >> (PRECISION_BITS - TOTAL_BITS)))
    choose_set(flag, 0, place * 16 + sureness)
    choose_set(flag, 1, min(place, 3) * 256 + last)
    choose_set(flag, 2, sureness * 64 + (last >> 2))
    choose_map(flag, 0, last)
    choose_map(flag, 1, hash_with(lane.recent & 0xFFFFFF, place) & 0xFFFF)
    choose_map(flag, 2, lane.spelled & 0xFFFF)


@lean_kernel
def predict_end(S, E, i):
    """Returns the probability, out of TOTAL, that lane i's token ends."""
    place = min(S.lanes[i].place, _PLACES) - 1
    hits = predict_counters(E, i, 0)
    choose_set(E.lanes[i], _SETS - 1, hits * 8 + place)
    return correct(E, i, mix(E, i, _SETS, _FINALS))


@lean_kernel
def learn_end(E, i, y):
    """Learns whether lane i's token ended."""
    target = np.int64(TOTAL - 1 if y else 0)
    learn_mixing(E, i, y, _SETS, _FINALS)
    learn_maps(E, i, target)
    learn_counters(E, i, 0, target)
