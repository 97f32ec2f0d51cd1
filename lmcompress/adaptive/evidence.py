"""Evidence: how far each part of the stage spoke for the bits that came.

Before its limits and maps, the mixed prediction of a bit is a sum over inputs: each is multiplied
by the weights of the mixers, and what these say by the weights of the second layer. So it can be
divided by where the inputs come from. The unit is the bit: the logarithm of the odds, to base 2.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.logistic import SCALE
from lmcompress.adaptive.state import (
    CONTEXT_INPUTS,
    CONTEXTS,
    FINALS,
    GPT_INPUT,
    INPUTS,
    MATCH_INPUT,
    ORDER_1_INPUT,
    SETS,
    WEIGHT_ONE,
)
from lmcompress.jit.compiler import lean_kernel

SPEAKERS = ("network", *CONTEXTS, "match", "orders 0 and 1", "constant")
"""Whose evidence is told apart. network: the GPT; match: all match models; constant: what a mixer
says whatever the text looks like. The others are the contexts of `state.CONTEXTS`."""
_NETWORK, _MATCH, _LOW, _CONSTANT = (
    SPEAKERS.index(name) for name in ("network", "match", "orders 0 and 1", "constant")
)
_UNIT = 1 / (SCALE * math.log(2) * FINALS * WEIGHT_ONE * WEIGHT_ONE)
"""Bits in one of the numbers that weights of both layers and inputs multiply to."""


def speakers_of_inputs() -> npt.NDArray[np.int64]:
    """Returns the place in SPEAKERS of each input, (INPUTS,)."""
    speakers = np.empty(INPUTS, np.int64)
    speakers[:GPT_INPUT] = 1 + np.arange(GPT_INPUT) // CONTEXT_INPUTS
    speakers[GPT_INPUT:MATCH_INPUT] = _NETWORK
    speakers[MATCH_INPUT:ORDER_1_INPUT] = _MATCH
    speakers[ORDER_1_INPUT:] = _LOW, _CONSTANT, _LOW
    return speakers


@lean_kernel
def weigh(S, i, y, speakers, evidence, row):
    """Adds to a row of evidence (n, len(SPEAKERS)) what spoke for lane i's bit y.

    The bit must have been predicted, and not learned.
    """
    lane, shared = S.lanes[i], S.shared[0]
    unit = _UNIT if y else -_UNIT
    for s in range(SETS):
        trust = np.int64(0)
        for f in range(FINALS):
            trust += np.int64(shared.final[lane.final_chosen[f], s])
        at, factor = lane.chosen[s], trust * unit
        for n in range(INPUTS):
            said = np.int64(shared.mixers[at + np.uint64(n)]) * lane.inputs[n]
            evidence[row, speakers[n]] += said * factor
