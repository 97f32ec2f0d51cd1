"""The adaptive stage: online models that learn from every byte, mixed with a GPT's prediction.

A byte is eight binary decisions, highest bit first. Each is predicted by counters in hashed
contexts (the last 1 to 6 bytes, the word), by the longest match, and by the GPT; a gated linear
mixer weighs them in the logistic domain, an adaptive probability map corrects the result (Mahoney,
2005). Everything is an integer. All lanes of a segment share one state: at every bit all lanes are
predicted, then all learn, in lane order. Encoder and decoder make the same calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.coding import PRECISION_BITS, RangeDecoder, RangeEncoder, Weights
from lmcompress.compiled import kernel
from lmcompress.logistic import LIMIT, TOTAL, rate_table, squash_table, stretch_table

ADAPTIVE_VERSION = 1
ORDERS = 6
CONTEXTS = ORDERS + 1
"""Hashed contexts: the last 1 to ORDERS bytes, and the present word with the byte before."""
GPT_INPUT = 2 * CONTEXTS
MATCH_INPUT = GPT_INPUT + 2
ORDER_1_INPUT = MATCH_INPUT + 2
INPUTS = ORDER_1_INPUT + 2
SETS = 3
MIXER_CONTEXTS = 1024
MIN_MATCH = 6
COUNT_LIMIT = 255
LEARNING_RATE = 3
MAP_STEP = 192
MAP_SIZE = 2 * (LIMIT + 1) // MAP_STEP + 1
FLOOR = 32
"""A bit's probability stays within FLOOR .. TOTAL - FLOOR."""
WEIGHT_ONE = 1 << 16

# Fields of a lane's row in State.lane.
C0, LAST, WORD, POINTER, LENGTH, EXPECTED, MATCH, LOW, HIGH, MIXED, MAP, FRACTION, FINAL = range(13)
DOT, CHOICE, FIELDS = 13, 13 + SETS, 13 + 2 * SETS
"""Each set's mixed input and chosen weights follow."""


class State(NamedTuple):
    """All that the stage knows; arrays only, so that compiled code takes it as it is."""

    slots: npt.NDArray[np.uint32]
    """Buckets of 16: a check, then 15 counters (16 bits of probability << 16 | 10 of count...)."""
    mixers: npt.NDArray[np.int32]
    final: npt.NDArray[np.int32]
    maps: npt.NDArray[np.int32]
    order_1: npt.NDArray[np.int32]
    match_rates: npt.NDArray[np.int32]
    match_index: npt.NDArray[np.int64]
    history: npt.NDArray[np.uint8]
    lane: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.int64]
    buckets: npt.NDArray[np.int64]
    inputs: npt.NDArray[np.int32]
    cumulative: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int64]
    squash: npt.NDArray[np.int32]
    stretch: npt.NDArray[np.int32]
    rates: npt.NDArray[np.int32]


def new_state(lanes: int, steps: int) -> State:
    """Returns the state before the first byte of a segment of so many lanes and steps."""
    size_bits = max(10, min(20, (lanes * steps).bit_length() + 1))
    mixers = np.full((SETS, MIXER_CONTEXTS, INPUTS), WEIGHT_ONE * 4 // 100, np.int32)
    mixers[:, :, GPT_INPUT] = WEIGHT_ONE * 8 // 10
    x = (np.arange(MAP_SIZE) - MAP_SIZE // 2) * MAP_STEP
    column = squash_table()[np.clip(x, -LIMIT, LIMIT) + LIMIT]
    return State(
        slots=np.zeros(16 << size_bits, np.uint32),
        mixers=mixers,
        final=np.full((256, SETS), WEIGHT_ONE // SETS, np.int32),
        maps=np.tile(column, (TOTAL, 1)),
        order_1=np.full((256, 256), TOTAL // 2, np.int32),
        match_rates=np.full(32, TOTAL // 2, np.int32),
        match_index=np.full(1 << max(10, size_bits - 2), -1, np.int64),
        history=np.zeros((lanes, steps), np.uint8),
        lane=np.zeros((lanes, FIELDS), np.int64),
        hashes=np.zeros((lanes, CONTEXTS), np.int64),
        buckets=np.zeros((lanes, CONTEXTS), np.int64),
        inputs=np.zeros((lanes, INPUTS), np.int32),
        cumulative=np.zeros((lanes, 257), np.int64),
        clock=np.zeros(1, np.int64),
        squash=squash_table(),
        stretch=stretch_table(),
        rates=rate_table(COUNT_LIMIT + 1),
    )


_HASH_BITS = (1 << 44) - 1


@kernel
def _hash(h, value):
    h = ((h + value + 1) * 0x2C9277B5) & _HASH_BITS
    return h ^ (h >> 17)


@kernel
def _clamp(x, limit):
    return -limit if x < -limit else (limit if x > limit else x)


@kernel
def _start_byte(S, i, weights):
    """Sets up lane i for its next byte: context hashes, expected byte, the GPT's distribution."""
    lane, step = S.lane[i], S.clock[0]
    h = np.int64(0)
    for order in range(ORDERS):
        back = step - 1 - order
        h = _hash(h, np.int64(S.history[i, back]) if back >= 0 else 0)
        S.hashes[i, order] = _hash(h, order)
    S.hashes[i, ORDERS] = _hash(_hash(lane[WORD], lane[LAST]), ORDERS)
    lane[C0] = 1
    lane[LOW], lane[HIGH] = 0, 256
    lane[EXPECTED] = -1
    if lane[LENGTH] > 0:
        steps = S.history.shape[1]
        at = lane[POINTER]
        if at % steps < step:  # what that lane reads in this very step is not known yet
            lane[EXPECTED] = 256 | np.int64(S.history[at // steps, at % steps])
    total = np.int64(0)
    for v in range(256):
        S.cumulative[i, v] = total
        total += np.int64(weights[v]) + 1
    S.cumulative[i, 256] = total


@kernel
def _find_buckets(S, i):
    """Finds, or takes over, the bucket of each context for the next four bits."""
    mask = (S.slots.shape[0] >> 4) - 1
    for j in range(CONTEXTS):
        h = _hash(S.hashes[i, j], S.lane[i, C0])
        check = np.uint32((h >> 28) & 0xFFFF)
        first = (h & mask) << 4
        second = first ^ 16
        if S.slots[first] == check:
            S.buckets[i, j] = first
        elif S.slots[second] == check:
            S.buckets[i, j] = second
        else:
            # The one whose first counter has seen less gives way.
            less = (S.slots[second + 1] & 1023) < (S.slots[first + 1] & 1023)
            chosen = second if less else first
            S.slots[chosen] = check
            for node in range(1, 16):
                S.slots[chosen + node] = np.uint32(1 << 31)
            S.buckets[i, j] = chosen


@kernel
def _predict(S, i, bit):
    """Returns the probability of a one, out of TOTAL, for lane i's next bit."""
    lane, inputs = S.lane[i], S.inputs[i]
    c0 = lane[C0]
    if bit == 0 or bit == 4:
        _find_buckets(S, i)
    node = c0 if bit < 4 else (c0 & ((1 << (bit - 4)) - 1)) | (1 << (bit - 4))
    for j in range(CONTEXTS):
        counter = np.int64(S.slots[S.buckets[i, j] + node])
        count, p = counter & 1023, counter >> 16
        inputs[2 * j] = S.stretch[p] if count else 0
        inputs[2 * j + 1] = ((p - TOTAL // 2) * min(count, 24)) >> 9
    low, high = lane[LOW], lane[HIGH]
    middle = (low + high) >> 1
    upper = S.cumulative[i, high] - S.cumulative[i, middle]
    p = upper * TOTAL // (S.cumulative[i, high] - S.cumulative[i, low])
    p = min(max(p, 1), TOTAL - 1)
    gpt = S.stretch[p]
    inputs[GPT_INPUT] = gpt
    inputs[GPT_INPUT + 1] = (p - TOTAL // 2) >> 5
    lane[MATCH] = 0
    inputs[MATCH_INPUT] = inputs[MATCH_INPUT + 1] = 0
    if lane[EXPECTED] >= 0 and lane[EXPECTED] >> (8 - bit) == c0:
        length = lane[LENGTH]
        lane[MATCH] = length if length < 16 else min(16 + (length >> 3), 31)
        p = np.int64(S.match_rates[lane[MATCH]])
        sign = 1 if (lane[EXPECTED] >> (7 - bit)) & 1 else -1
        inputs[MATCH_INPUT] = sign * S.stretch[p]
        inputs[MATCH_INPUT + 1] = sign * ((p - TOTAL // 2) >> 4)
    inputs[ORDER_1_INPUT] = S.stretch[S.order_1[lane[LAST], c0]]
    inputs[ORDER_1_INPUT + 1] = 256
    lane[CHOICE] = c0
    lane[CHOICE + 1] = lane[MATCH] * 8 + bit
    lane[CHOICE + 2] = ((gpt + LIMIT) * 15 // (2 * LIMIT) * 8 + bit) * 8 + (lane[LAST] >> 5)
    return _mix(S, i)


@kernel
def _mix(S, i):
    lane, inputs = S.lane[i], S.inputs[i]
    c0 = lane[C0]
    mixed = np.int64(0)
    for s in range(SETS):
        row = S.mixers[s, lane[CHOICE + s]]
        dot = np.int64(0)
        for k in range(INPUTS):
            dot += np.int64(row[k]) * np.int64(inputs[k])
        dot = _clamp(dot >> 16, LIMIT)
        lane[DOT + s] = dot
        mixed += dot * S.final[c0, s]
    mixed = _clamp(mixed >> 16, LIMIT)
    lane[MIXED] = S.squash[mixed + LIMIT]
    lane[MAP] = (mixed + LIMIT + 1) // MAP_STEP
    lane[FRACTION] = (mixed + LIMIT + 1) % MAP_STEP
    row = S.maps[c0 | lane[LAST] << 8]
    left, right = np.int64(row[lane[MAP]]), np.int64(row[lane[MAP] + 1])
    mapped = (left * (MAP_STEP - lane[FRACTION]) + right * lane[FRACTION]) // MAP_STEP
    p = (lane[MIXED] + mapped + 1) >> 1
    return min(max(p, FLOOR), TOTAL - FLOOR)


@kernel
def _learn(S, i, bit, y):
    """Moves everything that predicted lane i's bit towards the bit y that came."""
    lane, inputs = S.lane[i], S.inputs[i]
    c0 = lane[C0]
    target = np.int64(TOTAL - 1 if y else 0)
    error = (y << 16) - lane[MIXED]
    for s in range(SETS):
        own_error = ((y << 16) - np.int64(S.squash[lane[DOT + s] + LIMIT])) * LEARNING_RATE
        S.final[c0, s] += np.int32((lane[DOT + s] * error) >> 15)
        row = S.mixers[s, lane[CHOICE + s]]
        for k in range(INPUTS):
            row[k] += np.int32((np.int64(inputs[k]) * own_error + (1 << 17)) >> 18)
    row = S.maps[c0 | lane[LAST] << 8]
    nearest = lane[MAP] if 2 * lane[FRACTION] < MAP_STEP else lane[MAP] + 1
    row[nearest] += np.int32((target - row[nearest]) >> 6)
    S.order_1[lane[LAST], c0] += np.int32((target - S.order_1[lane[LAST], c0]) >> 5)
    if lane[MATCH]:
        was_right = ((lane[EXPECTED] >> (7 - bit)) & 1) == y
        rate = S.match_rates[lane[MATCH]]
        S.match_rates[lane[MATCH]] += np.int32(((TOTAL - 1 if was_right else 0) - rate) >> 6)
        if not was_right:
            lane[LENGTH], lane[EXPECTED] = 0, -1
    node = c0 if bit < 4 else (c0 & ((1 << (bit - 4)) - 1)) | (1 << (bit - 4))
    for j in range(CONTEXTS):
        at = S.buckets[i, j] + node
        counter = np.int64(S.slots[at])
        count, p = counter & 1023, counter >> 10  # 22 bits of probability
        p += (((1 << 22) - 1 if y else 0) - p) * S.rates[count] >> 16
        S.slots[at] = np.uint32(p << 10 | min(count + 1, COUNT_LIMIT))
    lane[C0] = c0 << 1 | y
    middle = (lane[LOW] + lane[HIGH]) >> 1
    lane[LOW] = middle if y else lane[LOW]
    lane[HIGH] = lane[HIGH] if y else middle


@kernel
def _end_byte(S, i):
    """Enters lane i's finished byte into its history, word and matches."""
    lane, step, steps = S.lane[i], S.clock[0], S.history.shape[1]
    c = lane[C0] & 255
    S.history[i, step] = np.uint8(c)
    lane[LAST] = c
    is_letter = 97 <= c <= 122 or 65 <= c <= 90 or c >= 128
    lane[WORD] = _hash(lane[WORD], c) if is_letter else 0
    if lane[LENGTH] > 0:
        lane[POINTER] += 1
        lane[LENGTH] = lane[LENGTH] + 1 if lane[POINTER] % steps else 0  # not into the next lane
    if step + 1 < MIN_MATCH:
        return
    h = np.int64(0)
    for back in range(MIN_MATCH):
        h = _hash(h, np.int64(S.history[i, step - back]))
    at = h & (S.match_index.shape[0] - 1)
    if lane[LENGTH] == 0 and S.match_index[at] >= 0:
        other, its_step = S.match_index[at] // steps, S.match_index[at] % steps
        length = 0
        while (
            length < 32 and length < its_step and length <= step
            and S.history[other, its_step - 1 - length] == S.history[i, step - length]
        ):  # fmt: skip
            length += 1
        if length >= MIN_MATCH:
            lane[POINTER], lane[LENGTH] = S.match_index[at], length
    if step + 1 < steps:
        S.match_index[at] = i * steps + step + 1


@kernel
def _write(out, row, p):
    """Writes a bit's weights: the coder adds 1 to each."""
    out[row, 1] = np.float32((p << (PRECISION_BITS - 16)) - 1)
    out[row, 0] = np.float32(((TOTAL - p) << (PRECISION_BITS - 16)) - 1)


@kernel
def _encode_block(S, weights, symbols, out, bits):
    """Predicts and learns a block; symbols uint8 (steps x lanes, step-major, the last may end)."""
    lanes = weights.shape[1]
    row = 0
    for start in range(0, symbols.shape[0], lanes):
        step, active = start // lanes, min(lanes, symbols.shape[0] - start)
        for i in range(active):
            _start_byte(S, i, weights[step, i])
        for bit in range(8):
            for i in range(active):
                _write(out, row + i, _predict(S, i, bit))
            for i in range(active):
                y = (np.int64(symbols[start + i]) >> (7 - bit)) & 1
                bits[row + i] = y
                _learn(S, i, bit, y)
            row += active
        for i in range(active):
            _end_byte(S, i)
        S.clock[0] += 1


@kernel
def _decode_start(S, weights, active, out):
    for i in range(active):
        _start_byte(S, i, weights[i])
    for i in range(active):
        _write(out, i, _predict(S, i, 0))


@kernel
def _decode_bit(S, bit, bits, active, out, symbols):
    for i in range(active):
        _learn(S, i, bit, np.int64(bits[i]))
    if bit < 7:
        for i in range(active):
            _write(out, i, _predict(S, i, bit + 1))
        return
    for i in range(active):
        symbols[i] = S.lane[i, C0] & 255
        _end_byte(S, i)
    S.clock[0] += 1


class AdaptiveStage:
    """Stands between a predictor of bytes and the coder, for one segment."""

    def __init__(self, lanes: int, steps: int) -> None:
        self._state = new_state(lanes, steps)

    def encode(
        self, encoder: RangeEncoder, symbols: npt.NDArray[np.int32], weights: Weights
    ) -> None:
        """Encodes symbols (n,), step-major, under weights (steps, lanes, 256)."""
        encoder.encode(*self.predict(symbols, weights))

    def predict(
        self, symbols: npt.NDArray[np.int32], weights: Weights
    ) -> tuple[npt.NDArray[np.int32], Weights]:
        """Returns the bits of symbols (n,) and their weights (8 n, 2), and learns from them."""
        out = np.empty((8 * len(symbols), 2), np.float32)
        bits = np.empty(8 * len(symbols), np.int32)
        _encode_block(self._state, weights, symbols.astype(np.uint8), out, bits)
        return bits, out

    def decode(self, decoder: RangeDecoder, weights: Weights, active: int) -> npt.NDArray[np.uint8]:
        """Decodes one step of the first `active` lanes under weights (lanes, 256)."""
        out = np.empty((active, 2), np.float32)
        symbols = np.empty(active, np.uint8)
        _decode_start(self._state, weights, active, out)
        for bit in range(8):
            _decode_bit(self._state, bit, decoder.decode(out), active, out, symbols)
        return symbols
