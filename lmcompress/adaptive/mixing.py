"""Mixing in the logistic domain (Mahoney, 2005).

Several mixers weigh the same inputs, each with weights that a context of its own chooses. Mixers of
a second layer weigh what these say, and the mean of what those say is the mixed probability.
"""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.learning import is_left_out
from lmcompress.adaptive.logistic import LIMIT, TOTAL_BITS, clamp
from lmcompress.adaptive.simd import WEIGHT_SHIFT, add_scaled, dot
from lmcompress.adaptive.state import MIXER_CONTEXTS, MIXER_ROW, PARTS, SETS, SETS_BY
from lmcompress.jit.compiler import lean_kernel
from lmcompress.jit.prefetch import prefetch

_HALF_TIME = 8192
"""Symbols until the rate has fallen half of its way."""
ERROR_SHIFT = 9
"""Makes errors so small that their products with inputs fit 32 bits."""
_PLACES = 4
"""Places of a byte in its token that choose weights of their own."""
_MOST = 255
"""Columns and fields beyond this share weights."""
_FIRST_PART = PARTS.index(f"weights by {SETS_BY[0]}")


@lean_kernel
def set_learning_rate(shared, count):
    """Sets the mixers' rate for the next `count` symbols, by the number learned from before."""
    falling = (shared.first_rate - shared.last_rate) * _HALF_TIME // (_HALF_TIME + shared.learned)
    shared.learning_rate = shared.last_rate + falling
    shared.learned += count


@lean_kernel
def sureness_of(gpt):
    """Returns a class of the GPT's stretched probability, 0 .. 15."""
    return (gpt + LIMIT) * 15 // (2 * LIMIT)


@lean_kernel
def choose_sets(S, i, bit, gpt, match_class):
    """Chooses the weights of all mixers but the last for lane i's bit, before they are needed."""
    lane, shared = S.lanes[i], S.shared[0]
    last, before = lane.recent & 255, (lane.recent >> 8) & 255
    choose_set(lane, 0, lane.c0 + 256 * min(lane.place, _PLACES - 1))
    choose_set(lane, 1, match_class * 8 + bit)
    choose_set(lane, 2, last * 8 + bit)
    choose_set(lane, 3, before * 8 + bit)
    choose_set(lane, 4, min(lane.at - lane.line, _MOST) * 8 + bit)
    choose_set(lane, 5, min(lane.fields, _MOST) * 8 + bit)
    choose_set(lane, 6, lane.likely * 8 + bit)
    for s in range(SETS - 1):
        for k in range(0, MIXER_ROW, 16):
            prefetch(shared.mixers, lane.chosen[s] + k)
    choose_final(lane, 0, np.int64(lane.c0))
    choose_final(lane, 1, match_class * 8 + bit)
    choose_final(lane, 2, last * 8 + bit)
    choose_final(lane, 3, lane.likely * 8 + bit)
    choose_final(lane, 4, sureness_of(gpt) * 8 + bit)


@lean_kernel
def choose_set(lane, mixer, context):
    """Chooses a mixer's weights for a context below MIXER_CONTEXTS."""
    lane.chosen[mixer] = (mixer * MIXER_CONTEXTS + context) * MIXER_ROW


@lean_kernel
def choose_final(lane, mixer, context):
    """Chooses the weights of a mixer of the second layer."""
    lane.final_chosen[mixer] = mixer * MIXER_CONTEXTS + context


@lean_kernel
def mix(S, i, sets, finals):
    """Returns the stretched probability of a one by lane i's inputs and so many mixers."""
    lane, shared = S.lanes[i], S.shared[0]
    for s in range(sets):
        if is_left_out(shared, _FIRST_PART + s):
            continue
        total = dot(shared.mixers, lane.chosen[s], lane.inputs)
        lane.dots[s] = clamp(total >> (16 - WEIGHT_SHIFT))
    mixed = np.int64(0)
    for f in range(finals):
        total = np.int64(0)
        for s in range(sets):
            total += np.int64(lane.dots[s]) * shared.final[lane.final_chosen[f], s]
        lane.opinions[f] = clamp(total >> 16)
        mixed += lane.opinions[f]
    return mixed // finals


@lean_kernel
def learn_mixing(S, i, y, sets, finals):
    """Moves the weights towards lane i's bit y."""
    lane, shared = S.lanes[i], S.shared[0]
    for f in range(finals):
        error = error_of(shared, lane.opinions[f], y)
        for s in range(sets):
            change = (lane.dots[s] * error) >> (TOTAL_BITS - 1)
            shared.final[lane.final_chosen[f], s] += change
    for s in range(sets):
        if is_left_out(shared, _FIRST_PART + s):
            continue
        error = (error_of(shared, lane.dots[s], y) * shared.learning_rate) >> ERROR_SHIFT
        add_scaled(shared.mixers, lane.chosen[s], lane.inputs, np.int32(error))


@lean_kernel
def error_of(shared, stretched, y):
    """Returns by how much, out of TOTAL, a stretched probability fell short of bit y."""
    return (y << TOTAL_BITS) - np.int64(shared.squash[stretched + LIMIT])
