"""Counters and runs: what followed, and what followed last, when the text last looked like this.

A counter is an adaptive probability and how often it was seen. Maps from what a counter or a run
says to the probability that held in such cases, learned for each context, tell how far to trust
them on this file.
"""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.buckets import run_of
from lmcompress.adaptive.learning import is_left_out, learned
from lmcompress.adaptive.logistic import TOTAL, TOTAL_BITS, coarse_stretch
from lmcompress.adaptive.state import (
    BUCKET,
    CERTAINTIES,
    CONTEXT_INPUTS,
    CONTEXTS,
    COUNT_LIMIT,
    FRESH,
    MAP_COUNT_LIMIT,
    ORDERS,
    PARTS,
    RUN_CLASSES,
)
from lmcompress.jit.compiler import lean_kernel

_CONTEXTS, _ORDERS = len(CONTEXTS), len(ORDERS)
_CERTAINTY_SHIFT = TOTAL_BITS - (CERTAINTIES.bit_length() - 1)
_WELL_KNOWN = 24
"""The largest count of a counter."""
_RUNS_PART = PARTS.index("runs")


@lean_kernel
def predict_counters(S, i, node):
    """Sets two inputs of each context for lane i's bit; returns how many orders were seen before.

    Without branches, since they would be mispredicted: what was never seen has a class of its own
    in the maps, where what it learns does not matter, and its inputs are masked.
    """
    lane, shared, hits = S.lanes[i], S.shared[0], 0
    for j in range(_CONTEXTS):
        if is_left_out(shared, j):
            continue
        counter = np.int64(S.slots[lane.buckets[j] + node])
        count, p = counter & 1023, counter >> 10
        seen = np.int64(count > 0)
        cell = shared.count_class[count] * CERTAINTIES + (p >> _CERTAINTY_SHIFT)
        lane.cells[j] = cell
        mapped = np.int64(shared.counter_maps[j, cell]) >> 10
        lane.inputs[CONTEXT_INPUTS * j] = coarse_stretch(shared, mapped) * seen
        sureness = ((p - TOTAL // 2) * min(count, _WELL_KNOWN)) >> 15
        lane.inputs[CONTEXT_INPUTS * j + 1] = sureness * seen
        hits += seen & (j < _ORDERS)
    return hits


@lean_kernel
def learn_counters(S, i, node, target):
    """Moves lane i's counters, and the maps that they were looked up in, towards target.

    The blank bucket stays as it is.
    """
    lane, shared, blank = S.lanes[i], S.shared[0], S.slots.shape[0] - BUCKET
    rates, maps = shared.rates, shared.counter_maps
    for j in range(_CONTEXTS):
        if is_left_out(shared, j):
            continue
        cell = lane.cells[j]
        maps[j, cell] = learned(maps[j, cell], target, rates, MAP_COUNT_LIMIT)
        at = lane.buckets[j] + node
        changed = learned(S.slots[at], target, rates, COUNT_LIMIT)
        S.slots[at] = changed if at < blank else FRESH


@lean_kernel
def predict_runs(S, i, bit):
    """Sets the third input of each context, if its run's byte begins with the bits so far."""
    lane, shared = S.lanes[i], S.shared[0]
    if is_left_out(shared, _RUNS_PART):
        return
    for j in range(_CONTEXTS):
        if is_left_out(shared, j):
            continue
        run = run_of(S, lane, j)
        expected = run & 255 | 256
        holds = np.int64(run > 0) & (expected >> (8 - bit) == lane.c0)
        sign = holds * (2 * ((expected >> (7 - bit)) & 1) - 1)
        cell = min(run >> 8, RUN_CLASSES - 1) * 8 + bit
        lane.run_signs[j], lane.run_cells[j] = sign, cell
        p = np.int64(shared.run_maps[j, cell]) >> 10
        lane.inputs[CONTEXT_INPUTS * j + 2] = coarse_stretch(shared, p) * sign


@lean_kernel
def learn_runs(S, i, y):
    """Moves the maps of the runs that predicted lane i's bit towards whether they were right."""
    lane, shared = S.lanes[i], S.shared[0]
    maps = shared.run_maps
    for j in range(_CONTEXTS):
        if lane.run_signs[j]:
            cell = lane.run_cells[j]
            target = np.int64(TOTAL - 1 if (lane.run_signs[j] > 0) == (y > 0) else 0)
            maps[j, cell] = learned(maps[j, cell], target, shared.rates, MAP_COUNT_LIMIT)
