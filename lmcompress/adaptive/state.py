"""The adaptive stage's state: two record arrays and three plain ones, all integers.

Records rather than dozens of arrays, since compiled code takes them by address. Fields are as wide
as their values need, and indices are unsigned, so that no check for negative ones is compiled in.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.logistic import (
    LIMIT,
    STRETCH_SIZE,
    TOTAL,
    rate_table,
    squash_table,
    stretch_tables,
)

ORDERS = (2, 3, 4, 6, 8)
"""Contexts of the last so many bytes; order 1 is a table of its own."""
TEXT_CONTEXTS = ("word", "two words", "column", "line start", "field", "tag", "shape")
CONTEXTS = (*(f"order {n}" for n in ORDERS), *TEXT_CONTEXTS)
"""Hashed contexts. word: the letters since the last other byte, and the last byte; two words: the
present word and the one before it; column: the position in the line and the byte above; line
start: the line's first byte, the word, the last byte; field: the last byte, the two above the next
ones, and how many fields the line has so far; tag: the last tag of a mark-up language, the word,
the last byte; shape: the last bytes, all digits alike, and all letters."""
MIN_MATCH = (5, 12, 24)
"""Shortest match of each match model; the first looks in its own lane, the others in all."""
MATCHES = len(MIN_MATCH)
SETS_BY = (
    "bits",
    "match",
    "last byte",
    "byte before",
    "column",
    "field",
    "expected byte",
    "orders seen",
)
"""What chooses the weights of each mixer: the bits of the byte so far, how good the match is, ...,
the byte that it expects, how many of the orders were seen before."""
PARTS = (
    *CONTEXTS,
    *(f"match {n}" for n in MIN_MATCH),
    *(f"weights by {name}" for name in SETS_BY),
    "runs",
    "orders 0 and 1",
    "probability maps",
)
"""Parts that can be left out to measure what they are worth; files are made with all."""

# Inputs of the mixers: three of a context, two of the GPT and of a match model; order 1, a
# constant, order 0.
CONTEXT_INPUTS = 3
GPT_INPUT = CONTEXT_INPUTS * len(CONTEXTS)
MATCH_INPUT = GPT_INPUT + 2
ORDER_1_INPUT = MATCH_INPUT + 2 * MATCHES
INPUTS = ORDER_1_INPUT + 3
MIXER_ROW = -(-INPUTS // 8) * 8
"""Inputs, and weights of a set, filled up to whole vectors with zeros."""

SETS, FINALS = len(SETS_BY), 5
"""Mixers, each with sets of weights that a context of its own chooses, and mixers of their
outputs."""
MIXER_CONTEXTS = 257 * 8
BUCKET = 16
"""A check and a run, then 15 counters: one cache line."""
RUN_CLASSES = 16
FRESH = np.uint32(1 << 31)
"""A counter that has seen nothing: probability 1 / 2, count 0."""
COUNT_LIMIT = 255
MAP_COUNT_LIMIT, MAP_START_COUNT = 600, 6
COUNT_CLASSES = 11
CERTAINTIES = 64
"""A counter's probability is one of so many classes where its map is looked up."""
MATCH_CELLS = 1024
MAP_STEP = 256
MAP_SIZE = 32
"""A map's row: 25 points of the logistic domain, filled up to two cache lines."""
MAP_ROWS = (1 << 16) + 256
MAPS = 3
MIN_SIZE_BITS, MAX_SIZE_BITS = 10, 22
"""2**10 to 2**22 buckets of 64 bytes."""
PROMPT_SIZE_BITS = 20
"""At least, with a prompt: room for what comes after a small one, 64 MiB."""
WEIGHT_ONE = 1 << 16


class Tuning(NamedTuple):
    """How much the mixers trust the GPT at first, and how fast they learn."""

    gpt_weight: int
    """First weight of the GPT's stretched probability, out of WEIGHT_ONE."""
    other_weight: int
    """First weight of every other input."""
    first_rate: int
    last_rate: int
    """The mixers' learning rate falls from the first to the last, as the bytes' reciprocal."""


SMALL = Tuning(WEIGHT_ONE * 8 // 10, WEIGHT_ONE * 4 // 100, 80, 3)
"""For small models, and for none."""
LARGE = Tuning(WEIGHT_ONE * 9 // 10, WEIGHT_ONE * 2 // 100, 20, 2)
"""For large models, which need less correction."""
MOST_PARAMETERS = 1 << 25
"""Of a small model, embeddings included."""

LANE = np.dtype(
    [
        # The lane's positions, [begin, end), and what was read. Of the token being spelled: its
        # bytes so far, and their hash.
        ("begin", "i8"), ("end", "i8"), ("place", "i8"), ("spelled", "i8"),
        ("recent", "i8"), ("word", "i8"), ("word_before", "i8"), ("opening", "i8"), ("tag", "i8"),
        ("line", "i8"), ("line_above", "i8"), ("first", "i8"), ("fields", "i8"), ("at", "i8"),
        # Matches: where the next byte is expected, how long they held, their last misses.
        ("pointer", "i8", MATCHES), ("length", "i8", MATCHES), ("misses", "i8", MATCHES),
        ("expected", "i8", MATCHES), ("match_cell", "i8", MATCHES), ("match_slot", "i8", MATCHES),
        ("likely", "i8"),
        # The byte being decided: its bits after a leading one, the GPT's interval and weights.
        ("c0", "u4"), ("low", "u4"), ("high", "u4"), ("cumulative", "u4", 257),
        ("hashes", "i8", len(CONTEXTS)), ("probes", "i8", len(CONTEXTS)),
        ("first_buckets", "u4", len(CONTEXTS)), ("buckets", "u4", len(CONTEXTS)),
        # The bit being decided: what each context, mixer and map saw and said.
        ("cells", "u4", len(CONTEXTS)), ("run_cells", "u4", len(CONTEXTS)),
        ("run_signs", "i4", len(CONTEXTS)),
        ("inputs", "i4", MIXER_ROW), ("chosen", "u4", SETS), ("dots", "i4", SETS),
        ("final_chosen", "u4", FINALS), ("opinions", "i4", FINALS),
        ("map_rows", "u4", MAPS), ("map_column", "u4"), ("fraction", "u4"),
    ],
    align=True,
)  # fmt: skip
"""One stream. Positions are indices into State.history; -1 is nowhere."""

SHARED = np.dtype(
    [
        ("maps", "i4", MAPS * MAP_ROWS * MAP_SIZE), ("low_orders", "u4", (257, 256)),
        ("mixers", "i4", SETS * MIXER_CONTEXTS * MIXER_ROW),
        ("final", "i4", (FINALS * MIXER_CONTEXTS, SETS)),
        ("left_out", "i8"), ("base", "i8"),
        ("first_rate", "i8"), ("last_rate", "i8"), ("learned", "i8"), ("learning_rate", "i8"),
        ("counter_maps", "u4", (len(CONTEXTS), COUNT_CLASSES * CERTAINTIES)),
        ("run_maps", "u4", (len(CONTEXTS), RUN_CLASSES * 8)),
        ("match_rates", "i4", (MATCHES, MATCH_CELLS)),
        ("squash", "i4", 2 * LIMIT + 1), ("stretch", "i2", (3, STRETCH_SIZE)),
        ("rates", "i4", MAP_COUNT_LIMIT + 1),
        ("count_class", "u1", COUNT_LIMIT + 1),
    ],
    align=True,
)  # fmt: skip
"""What all lanes learn together, and constant tables. Probabilities are out of TOTAL."""


class State(NamedTuple):
    """All that the stage knows; arrays only, so that compiled code takes it as it is."""

    shared: npt.NDArray[Any]
    lanes: npt.NDArray[Any]
    slots: npt.NDArray[np.uint32]
    """A power of two of buckets, then a blank one. Each has 16 values: its check (16 bits) and run
    (the byte in 8, its length in 8), then 15 counters (probability in 22 bits, count in 10)."""
    match_index: npt.NDArray[np.int64]
    history: npt.NDArray[np.uint8]


def new_state(
    lengths: Sequence[int],
    tuning: Tuning = SMALL,
    primed: State | None = None,
    min_size_bits: int = MIN_SIZE_BITS,
    without: Collection[str] = (),
) -> State:
    """Returns the state before the first byte of a segment whose lanes have these lengths.

    It has at least 2**min_size_bits buckets, and lacks the PARTS that `without` names.

    With `primed`, the state after another text, it continues from that: its tables, its bytes to
    match, and the context in which its last lane ended.
    """
    base, total = len(primed.history) if primed else 0, sum(lengths)
    streams = np.zeros(len(lengths), LANE)
    if primed:
        for field in ("recent", "word", "word_before"):
            streams[field] = primed.lanes[-1][field]
    streams["end"] = base + np.cumsum(lengths)
    streams["begin"] = streams["at"] = streams["line"] = streams["end"] - np.array(lengths)
    for field in ("line_above", "pointer", "expected", "match_cell"):
        streams[field] = -1
    shared = primed.shared.copy() if primed else _new_shared(tuning)
    shared["left_out"] = sum(1 << PARTS.index(part) for part in without)
    shared["base"] = base
    size_bits = _size_bits(total, min_size_bits)
    fresh = np.zeros(total, np.uint8)
    return State(
        shared=shared,
        lanes=streams,
        slots=_copy(primed.slots) if primed else _new_slots(size_bits),
        match_index=(
            primed.match_index.copy()
            if primed
            else np.full(MATCHES << (size_bits - 1), -1, np.int64)
        ),
        history=np.concatenate((primed.history, fresh)) if primed else fresh,
    )


def state_bytes(raw_bytes: int, lanes: int, prompt_bytes: int = 0) -> int:
    """Returns the bytes that `new_state` takes for a segment, after a prompt if there is one."""
    size_bits = _size_bits(raw_bytes)
    if prompt_bytes:  # what it taught is copied for each segment
        size_bits = _size_bits(prompt_bytes, PROMPT_SIZE_BITS)
    tables = (4 * BUCKET << size_bits) + (8 * MATCHES << (size_bits - 1)) + SHARED.itemsize
    return prompt_bytes + raw_bytes + lanes * LANE.itemsize + tables


def _size_bits(raw_bytes: int, least: int = MIN_SIZE_BITS) -> int:
    return max(least, min(MAX_SIZE_BITS, raw_bytes.bit_length() + 1))


def _new_slots(size_bits: int) -> npt.NDArray[np.uint32]:
    slots = _aligned_zeros((4 * BUCKET << size_bits) + 4 * BUCKET).view(np.uint32)
    slots[-BUCKET:] = FRESH
    return slots


def _copy(slots: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    copied = _aligned_zeros(slots.nbytes).view(np.uint32)
    copied[:] = slots
    return copied


def _new_shared(tuning: Tuning) -> npt.NDArray[Any]:
    shared = _aligned_zeros(SHARED.itemsize).view(SHARED)
    shared["first_rate"], shared["last_rate"] = tuning.first_rate, tuning.last_rate
    weights = np.full(MIXER_ROW, tuning.other_weight)
    weights[GPT_INPUT] = tuning.gpt_weight
    shared["mixers"] = np.tile(weights, SETS * MIXER_CONTEXTS)
    shared["final"] = WEIGHT_ONE // SETS
    x = np.clip(np.arange(MAP_SIZE) * MAP_STEP - LIMIT - 1, -LIMIT, LIMIT)
    shared["maps"] = np.tile(squash_table()[x + LIMIT], MAPS * MAP_ROWS)
    shared["low_orders"] = FRESH
    middles = (2 * np.arange(CERTAINTIES) + 1) * (TOTAL // (2 * CERTAINTIES))
    shared["counter_maps"] = np.tile(middles << 10 | MAP_START_COUNT, COUNT_CLASSES)
    shared["match_rates"] = TOTAL * 3 // 4
    shared["run_maps"] = (TOTAL * 3 // 4) << 10 | MAP_START_COUNT
    shared["squash"], shared["stretch"] = squash_table(), stretch_tables()
    shared["rates"] = rate_table(MAP_COUNT_LIMIT + 1)
    edges = [1, 2, 3, 4, 5, 7, 11, 19, 40, 120]
    shared["count_class"] = np.searchsorted(edges, np.arange(COUNT_LIMIT + 1), side="right")
    return shared


def _aligned_zeros(size: int) -> npt.NDArray[np.uint8]:
    """Returns zero bytes from a multiple of 64 on: a bucket is one cache line."""
    memory = np.zeros(size + 64, np.uint8)
    skip = -memory.ctypes.data % 64
    return memory[skip : skip + size]
