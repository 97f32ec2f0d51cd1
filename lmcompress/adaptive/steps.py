"""The steps that every round takes: all lanes predict a bit, then all learn it."""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.buckets import end_runs, find_buckets, node_of, probe_buckets
from lmcompress.adaptive.contexts import start_contexts
from lmcompress.adaptive.counters import (
    learn_counters,
    learn_runs,
    predict_counters,
    predict_runs,
)
from lmcompress.adaptive.ends import learn_end, predict_end, prepare_end
from lmcompress.adaptive.logistic import TOTAL, TOTAL_BITS
from lmcompress.adaptive.low_orders import (
    learn_low_orders,
    narrow_gpt,
    predict_gpt,
    predict_low_orders,
    start_gpt,
)
from lmcompress.adaptive.maps import choose_maps, correct, learn_maps
from lmcompress.adaptive.matches import (
    end_matches,
    learn_matches,
    predict_matches,
    probe_matches,
    start_matches,
)
from lmcompress.adaptive.mixing import (
    choose_set,
    choose_sets,
    learn_mixing,
    mix,
    set_learning_rate,
)
from lmcompress.adaptive.state import FINALS, SETS
from lmcompress.adaptive.text import end_token, enter_byte
from lmcompress.jit.compiler import lean_kernel
from lmcompress.range_coder import PRECISION_BITS
from lmcompress.tokenizer.rounds import ALWAYS, NEVER

_ALWAYS, _NEVER = ALWAYS, NEVER


@lean_kernel
def start_bytes(S, lanes, freqs, start, stop):
    """Starts the byte of each lane of a round, rows start .. stop - 1."""
    set_learning_rate(S.shared[0], stop - start)
    for k in range(start, stop):
        i = lanes[k]
        start_gpt(S.lanes[i], freqs, k)
        S.lanes[i].c0 = 1
        start_contexts(S, i)
        start_matches(S, i)


@lean_kernel
def predict_bits(S, lanes, bit, start, stop, out, row):
    """Predicts a bit of each lane of a round; writes to out from a row on."""
    # First what needs no counters, which asks for the memory that the rest needs.
    for k in range(start, stop):
        i = lanes[k]
        match_class = predict_matches(S, i, bit)
        choose_sets(S, i, bit, predict_gpt(S, i), match_class)
        predict_low_orders(S, i)
        choose_maps(S, i)
        if bit == 0 or bit == 4:
            probe_buckets(S, i)
    for k in range(start, stop):
        i = lanes[k]
        if bit == 0 or bit == 4:
            find_buckets(S, i, bit)
        hits = predict_counters(S, i, node_of(S.lanes[i].c0, bit))
        predict_runs(S, i, bit)
        choose_set(S.lanes[i], SETS - 1, hits * 8 + bit)
        _write(out, row + k - start, correct(S, i, mix(S, i, SETS, FINALS)))


@lean_kernel
def learn_bit(S, i, bit, y):
    """Moves everything that predicted lane i's bit towards the bit y that came."""
    target = np.int64(TOTAL - 1 if y else 0)
    learn_mixing(S, i, y, SETS, FINALS)
    learn_maps(S, i, target)
    learn_low_orders(S, i, target)
    narrow_gpt(S.lanes[i], y)
    learn_matches(S, i, bit, y)
    learn_counters(S, i, node_of(S.lanes[i].c0, bit), target)
    learn_runs(S, i, y)
    S.lanes[i].c0 = np.int64(S.lanes[i].c0) << 1 | y


@lean_kernel
def end_bytes(S, lanes, start, stop):
    """Enters the finished byte of each lane of a round into its history, words and matches."""
    for k in range(start, stop):
        i = lanes[k]
        lane = S.lanes[i]
        c = np.int64(lane.c0 & 255)
        S.history[lane.at] = c
        end_runs(S, i, c)
        enter_byte(lane, c)
        lane.at += 1
        probe_matches(S, i)
    for k in range(start, stop):
        end_matches(S, lanes[k], S.lanes[lanes[k]].c0 & 255)


@lean_kernel
def predict_ends(S, E, lanes, ends, start, stop, out, row):
    """Predicts whether tokens end where that is open; returns how many rows it wrote to out."""
    count = 0
    for k in range(start, stop):
        if _NEVER < ends[k] < _ALWAYS:
            prepare_end(S, E, lanes[k], np.int64(ends[k]))
            count += 1
    set_learning_rate(E.shared[0], count)
    count = 0
    for k in range(start, stop):
        if _NEVER < ends[k] < _ALWAYS:
            _write(out, row + count, predict_end(S, E, lanes[k]))
            count += 1
    return count


@lean_kernel
def learn_ends(S, E, lanes, ends, is_end, start, stop):
    """Learns whether tokens ended."""
    for k in range(start, stop):
        if _NEVER < ends[k] < _ALWAYS:
            learn_end(E, lanes[k], np.int64(is_end[k]))
        if is_end[k]:
            end_token(S.lanes[lanes[k]])


@lean_kernel
def _write(out, row, p):
    """Writes a bit's freqs: the coder adds 1 to each."""
    out[row, 1] = np.float32((p << (PRECISION_BITS - TOTAL_BITS)) - 1)
    out[row, 0] = np.float32(((TOTAL - p) << (PRECISION_BITS - TOTAL_BITS)) - 1)
