"""The stage itself: encoder and decoder predict and learn in the same sequence."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.contexts import (
    end_contexts,
    find_buckets,
    learn_contexts,
    predict_contexts,
    probe_buckets,
    start_contexts,
)
from lmcompress.adaptive.logistic import TOTAL, TOTAL_BITS
from lmcompress.adaptive.matches import (
    end_matches,
    learn_matches,
    predict_matches,
    probe_matches,
    start_matches,
)
from lmcompress.adaptive.mixing import (
    choose_maps,
    choose_sets,
    learn_mixing,
    mix,
    predict_gpt,
    set_learning_rate,
    start_gpt,
)
from lmcompress.adaptive.state import MIN_SIZE_BITS, State, new_state
from lmcompress.adaptive.state_pointer import addresses_of, state_at
from lmcompress.jit.compiler import lean_kernel
from lmcompress.range_coder import PRECISION_BITS, Freqs, RangeDecoder, RangeEncoder


@lean_kernel
def _start_byte(S, i, weights):
    start_gpt(S.lanes[i], weights)
    S.lanes[i].c0 = 1
    start_contexts(S, i)
    start_matches(S, i)


@lean_kernel
def _prepare(S, active, bit):
    """Predicts what needs no counters; asks for the memory that the rest of the bit needs."""
    for i in range(active):
        match_class = predict_matches(S, i, bit)
        choose_sets(S, i, bit, predict_gpt(S, i), match_class)
        choose_maps(S, i)
        if bit == 0 or bit == 4:
            probe_buckets(S, i)


@lean_kernel
def _predict(S, i, bit):
    """Returns the probability of a one, out of TOTAL, for lane i's next bit."""
    if bit == 0 or bit == 4:
        find_buckets(S, i)
    return mix(S, i, bit, predict_contexts(S, i, bit))


@lean_kernel
def _learn(S, i, bit, y):
    """Moves everything that predicted lane i's bit towards the bit y that came."""
    target = np.int64(TOTAL - 1 if y else 0)
    learn_mixing(S, i, y, target)
    learn_matches(S, i, bit, y)
    learn_contexts(S, i, bit, target)
    S.lanes[i].c0 = np.int64(S.lanes[i].c0) << 1 | y


@lean_kernel
def _end_step(S, active):
    """Enters each lane's finished byte into its history, words and matches."""
    for i in range(active):
        lane = S.lanes[i]
        S.history[lane.at] = lane.c0 & 255
        end_contexts(lane, lane.c0 & 255)
        probe_matches(S, i)
    for i in range(active):
        end_matches(S, i, S.lanes[i].c0 & 255)
        S.lanes[i].at += 1
    S.shared[0].step += 1


@lean_kernel
def _write(out, row, p):
    """Writes a bit's freqs: the coder adds 1 to each."""
    out[row, 1] = np.float32((p << (PRECISION_BITS - TOTAL_BITS)) - 1)
    out[row, 0] = np.float32(((TOTAL - p) << (PRECISION_BITS - TOTAL_BITS)) - 1)


@lean_kernel
def _encode_block(addresses, weights, symbols, out, bits):
    """Predicts and learns a block; symbols uint8 (steps x lanes, step-major, the last may end)."""
    S, lanes = state_at(addresses), weights.shape[1]
    row = 0
    for start in range(0, symbols.shape[0], lanes):
        step, active = start // lanes, min(lanes, symbols.shape[0] - start)
        set_learning_rate(S.shared[0], active)
        for i in range(active):
            _start_byte(S, i, weights[step, i])
        for bit in range(8):
            _prepare(S, active, bit)
            for i in range(active):
                _write(out, row + i, _predict(S, i, bit))
            for i in range(active):
                y = (np.int64(symbols[start + i]) >> (7 - bit)) & 1
                bits[row + i] = y
                _learn(S, i, bit, y)
            row += active
        _end_step(S, active)


@lean_kernel
def _predict_lanes(S, active, bit, out):
    _prepare(S, active, bit)
    for i in range(active):
        _write(out, i, _predict(S, i, bit))


@lean_kernel
def _decode_start(addresses, weights, out):
    """Predicts the first bit of a step's first lanes; out (active, 2)."""
    S, active = state_at(addresses), out.shape[0]
    set_learning_rate(S.shared[0], active)
    for i in range(active):
        _start_byte(S, i, weights[i])
    _predict_lanes(S, active, 0, out)


@lean_kernel
def _decode_bit(addresses, bit, bits, out):
    """Learns the bits that came, and predicts the next ones, of bytes that end after this step."""
    S, active = state_at(addresses), bits.shape[0]
    for i in range(active):
        _learn(S, i, bit, np.int64(bits[i]))
    _predict_lanes(S, active, bit + 1, out)


@lean_kernel
def _decode_end(addresses, bits, symbols):
    """Learns the last bits; fills in the bytes that they end."""
    S, active = state_at(addresses), bits.shape[0]
    for i in range(active):
        _learn(S, i, 7, np.int64(bits[i]))
        symbols[i] = S.lanes[i].c0 & 255
    _end_step(S, active)


class AdaptiveStage:
    """Sits between a predictor of bytes and the coder, for one segment."""

    def __init__(
        self,
        lanes: int,
        steps: int,
        primed: AdaptiveStage | None = None,
        min_size_bits: int = MIN_SIZE_BITS,
        without: Collection[str] = (),
    ) -> None:
        """Starts from a copy of what `primed` has learned, if given.

        `without` leaves out some of `state.PARTS`, for measurements only: no file can record it.
        """
        before = primed.state if primed else None
        self.state: State = new_state(lanes, steps, before, min_size_bits, without)
        self._addresses = addresses_of(self.state)

    def encode(self, encoder: RangeEncoder, symbols: npt.NDArray[np.int32], freqs: Freqs) -> None:
        """Encodes symbols (n,), step-major, under freqs (steps, lanes, 256)."""
        encoder.encode(*self.predict(symbols, freqs))

    def predict(
        self, symbols: npt.NDArray[np.int32], freqs: Freqs
    ) -> tuple[npt.NDArray[np.int32], Freqs]:
        """Returns the bits of symbols (n,) and their freqs (8 n, 2), and learns from them."""
        out = np.empty((8 * len(symbols), 2), np.float32)
        bits = np.empty(8 * len(symbols), np.int32)
        _encode_block(self._addresses, freqs, symbols.astype(np.uint8), out, bits)
        return bits, out

    def decode(self, decoder: RangeDecoder, freqs: Freqs, active: int) -> npt.NDArray[np.uint8]:
        """Decodes one step of the first `active` lanes under freqs (lanes, 256)."""
        at, out = self._addresses, np.empty((active, 2), np.float32)
        symbols = np.empty(active, np.uint8)
        _decode_start(at, freqs, out)
        for bit in range(7):
            _decode_bit(at, bit, decoder.decode(out), out)
        _decode_end(at, decoder.decode(out), symbols)
        return symbols
