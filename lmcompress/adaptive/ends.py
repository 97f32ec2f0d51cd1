"""Whether a token ends after the byte just read, where it may both end and go on.

A decision of its own, with tables of its own: counters in the contexts of the byte to come, mixed
with the GPT's opinion and corrected as a bit is.
"""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.contexts import (
    hash_with,
    learn_contexts,
    predict_contexts,
    start_contexts,
    stretch,
)
from lmcompress.adaptive.logistic import TOTAL, TOTAL_BITS
from lmcompress.adaptive.mixing import learn_mixing, mix, sureness_of
from lmcompress.adaptive.state import (
    CONTEXTS,
    FRESH,
    GPT_INPUT,
    MAP_ROWS,
    MAP_SIZE,
    MIXER_CONTEXTS,
    MIXER_ROW,
    ORDER_1_INPUT,
    WEIGHT_ONE,
    State,
    Tuning,
    new_state,
)
from lmcompress.jit.compiler import lean_kernel
from lmcompress.jit.prefetch import prefetch
from lmcompress.range_coder import PRECISION_BITS

TUNING = Tuning(WEIGHT_ONE * 9 // 10, WEIGHT_ONE * 2 // 100, 60, 3)
_CONTEXTS, _LAST = len(CONTEXTS), len(CONTEXTS) - 1
_SLOT_BITS = 18
"""2**18 counters for each context, without checks."""
_PLACES = 8
"""A token's bytes so far count up to the last of these."""


def new_ends(lanes: int, primed: State | None = None) -> State:
    """Returns what the stage knows of tokens' ends before a segment, or after `primed`."""
    state = new_state([0] * lanes, TUNING, primed)
    return state if primed else state._replace(slots=np.full(_CONTEXTS << _SLOT_BITS, FRESH))


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

    p = min(max(end >> (PRECISION_BITS - TOTAL_BITS), 1), TOTAL - 1)
    gpt = np.int64(stretch(shared, p))
    flag.inputs[GPT_INPUT] = gpt
    flag.inputs[GPT_INPUT + 1] = (p - TOTAL // 2) >> (TOTAL_BITS - 11)
    flag.inputs[ORDER_1_INPUT + 1] = 256

    sureness = sureness_of(gpt)
    flag.chosen[0] = (place * 16 + sureness) * MIXER_ROW
    flag.chosen[1] = (MIXER_CONTEXTS + min(place, 3) * 256 + last) * MIXER_ROW
    flag.chosen[2] = (2 * MIXER_CONTEXTS + sureness * 64 + (last >> 2)) * MIXER_ROW
    last_three = hash_with(lane.recent & 0xFFFFFF, place)
    flag.map_rows[0] = last * MAP_SIZE
    flag.map_rows[1] = (MAP_ROWS + (last_three & 0xFFFF)) * MAP_SIZE
    flag.map_rows[2] = (2 * MAP_ROWS + (lane.spelled & 0xFFFF)) * MAP_SIZE


@lean_kernel
def predict_end(S, E, i):
    """Returns the probability, out of TOTAL, that lane i's token ends."""
    place = min(S.lanes[i].place, _PLACES) - 1
    return mix(E, i, place, predict_contexts(E, i, 0))


@lean_kernel
def learn_end(E, i, y):
    """Learns whether lane i's token ended."""
    target = np.int64(TOTAL - 1 if y else 0)
    learn_mixing(E, i, y, target)
    learn_contexts(E, i, 0, target)
