"""The adaptive stage: integer tables, round trips, learning, and no look ahead."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from lmcompress.adaptive import AdaptiveStage
from lmcompress.adaptive.logistic import (
    FINE_BITS,
    LIMIT,
    STRETCH_SIZE,
    TOTAL,
    rate_table,
    squash_table,
    stretch_tables,
)
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.predictor import UniformPredictor
from lmcompress.format.frame import Method
from lmcompress.range_coder import PRECISION_BITS, check_freqs, quantized_code_length_bits
from lmcompress.tokenizer.rounds import Rounds
from tests.support.coding import decoded, encoded, lane_lengths

TEXT = b"".join(
    b"item %d costs %d pounds and %d pence\r\n" % (i, i * 7 % 90, i % 12) for i in range(99)
)


def mixed(raw: bytes, lanes: int, block: int = 7) -> bytes:
    [payload] = encoded(raw, UniformPredictor(), lanes, block, [Method.MIXED])
    return payload


def test_squash_is_the_rounded_logistic_function() -> None:
    x = np.arange(-LIMIT, LIMIT + 1) / 256

    table = squash_table()

    assert np.abs(table - TOTAL / (1 + np.exp(-x))).max() <= 0.5 + 1e-6
    assert (table[::-1] + table == TOTAL).all()


@pytest.mark.parametrize(("row", "bits"), list(enumerate(FINE_BITS)))
def test_stretch_inverts_squash(row: int, bits: int) -> None:
    p, x = (np.arange(STRETCH_SIZE) << bits) + (1 << bits >> 1), stretch_tables()[row]

    assert (squash_table()[x + LIMIT] >= p).all()
    assert (squash_table()[np.maximum(x - 1, -LIMIT) + LIMIT] < p)[x > -LIMIT].all()


def test_tables_never_change() -> None:
    tables = np.concatenate([squash_table(), stretch_tables().ravel(), rate_table(256)])

    digest = hashlib.sha256(tables.astype("<i4").tobytes()).hexdigest()

    assert digest == "46e7f73bfaffdf6b4dc7829cd6079351bd7e3cedf058519f58bbf6e0b93043b0"


@pytest.mark.parametrize("lanes", [1, 2, 5, 40])
@pytest.mark.parametrize("raw", [TEXT, bytes(3000), bytes(range(256)) * 9, TEXT[:41], b"ab" * 20])
def test_what_was_mixed_comes_back(raw: bytes, lanes: int) -> None:
    payload = mixed(raw, lanes)

    assert decoded(payload, len(raw), UniformPredictor(), lanes, Method.MIXED) == raw


@pytest.mark.parametrize("block", [1, 2, 50, 10_000])
def test_the_payload_does_not_depend_on_the_block(block: int) -> None:
    assert mixed(TEXT, 3, block) == mixed(TEXT, 3)


def test_the_stage_learns_without_a_model() -> None:
    assert 8 * len(mixed(TEXT, 1)) / len(TEXT) < 1.5  # 8 without learning


def test_lanes_learn_from_each_other() -> None:
    one, many = len(mixed(TEXT, 1)), len(mixed(TEXT, 8))
    alone = sum(len(mixed(part, 1)) for part in np.array_split(np.frombuffer(TEXT, np.uint8), 8))

    assert many < 1.4 * one
    assert many < 0.8 * alone


def test_a_prediction_does_not_depend_on_what_comes_later() -> None:
    layout = LaneLayout(len(TEXT), 4)
    symbols = layout.split(np.frombuffer(TEXT, np.uint8)).T.astype(np.int32).ravel()[: len(TEXT)]
    freqs = UniformPredictor().predict(np.zeros((4, layout.steps), np.int64))
    changed = symbols.copy()
    changed[2000] ^= 1

    lengths = lane_lengths(len(TEXT), 4)
    before = AdaptiveStage(lengths).predict(Rounds.of_bytes(symbols, freqs))[1]
    after = AdaptiveStage(lengths).predict(Rounds.of_bytes(changed, freqs))[1]

    row = 2000 // 4 * 4 * 8  # the step's first bit
    assert np.array_equal(before[: row + 4], after[: row + 4])
    assert not np.array_equal(before, after)


def test_bit_freqs_are_ones_that_the_coder_inverts() -> None:
    for raw in (TEXT, bytes(5000)):
        freqs = UniformPredictor().predict(np.zeros((1, len(raw)), np.int64))
        symbols = np.frombuffer(raw, np.uint8).astype(np.int32)

        bits, rows = AdaptiveStage([len(raw)]).predict(Rounds.of_bytes(symbols, freqs))

        check_freqs(rows)
        assert len(bits) == 8 * len(raw)
        assert (rows.sum(axis=1) == (1 << PRECISION_BITS) - 2).all()


def test_a_sure_model_is_believed_from_the_start() -> None:
    raw = bytes(np.random.default_rng(3).integers(0, 256, 400, np.uint8))
    freqs = np.zeros((len(raw), 1, 256), np.float32)
    freqs[np.arange(len(raw)), 0, list(raw)] = (1 << PRECISION_BITS) - 256
    symbols = np.frombuffer(raw, np.uint8).astype(np.int32)

    bits, rows = AdaptiveStage([len(raw)]).predict(Rounds.of_bytes(symbols, freqs))

    assert quantized_code_length_bits(rows, bits) / len(raw) < 0.1
