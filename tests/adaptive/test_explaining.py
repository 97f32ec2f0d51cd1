"""The stage with its reasons: the same numbers as the stage itself, and reasons that hold."""

from __future__ import annotations

import numpy as np
import pytest

from lmcompress.adaptive import AdaptiveStage
from lmcompress.adaptive.evidence import SPEAKERS, speakers_of_inputs
from lmcompress.adaptive.explaining import ExplainingStage
from lmcompress.adaptive.state import INPUTS
from lmcompress.codec.predictor import UniformPredictor
from lmcompress.range_coder import symbol_bits
from lmcompress.tokenizer.rounds import Rounds
from tests.support.coding import lane_lengths

TEXT = b"".join(
    b"item %d costs %d pounds and %d pence\r\n" % (i, i * 7 % 90, i % 12) for i in range(99)
)
NOISE = np.random.default_rng(2).integers(0, 256, 900, np.uint8).tobytes()


def rounds_of(raw: bytes, lanes: int) -> Rounds:
    steps = -(-len(raw) // lanes)
    assert steps * lanes == len(raw)
    symbols = np.frombuffer(raw, np.uint8).reshape(lanes, steps).T.astype(np.int32).ravel()
    return Rounds.of_bytes(symbols, UniformPredictor().predict(np.zeros((lanes, steps), np.int64)))


def explained(raw: bytes, lanes: int = 1) -> ExplainingStage:
    stage = ExplainingStage(lane_lengths(len(raw), lanes))
    stage.predict(rounds_of(raw, lanes))
    return stage


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize(
    "raw", [TEXT[:3000], NOISE, bytes(range(256)) * 9], ids=["text", "noise", "all"]
)
def test_looking_on_changes_no_number(raw: bytes, lanes: int) -> None:
    rounds, lengths = rounds_of(raw, lanes), lane_lengths(len(raw), lanes)
    plain, explaining = AdaptiveStage(lengths), ExplainingStage(lengths)

    for expected, found in zip(plain.predict(rounds), explaining.predict(rounds), strict=True):
        assert np.array_equal(expected, found)
    for before, after in zip(plain.arrays(), explaining.arrays(), strict=True):
        names = set(before.dtype.names or ()) - {"probes"}
        assert (
            all(np.array_equal(before[n], after[n]) for n in names)
            if names
            else (np.array_equal(before, after))
        )


@pytest.mark.parametrize("raw", [TEXT, NOISE], ids=["text", "noise"])
def test_a_byte_that_was_expected_costs_what_its_chance_says(raw: bytes) -> None:
    rounds = rounds_of(raw, 1)
    bits, freqs = AdaptiveStage([len(raw)]).predict(rounds)
    costs = symbol_bits(freqs, bits).reshape(-1, 8).sum(axis=1)
    reasons = explained(raw).reasons

    row, column = np.nonzero(reasons.likeliest == np.frombuffer(raw, np.uint8)[:, None])

    assert np.allclose(-np.log2(reasons.chances[row, column]), costs[row], atol=1e-9)


def test_no_byte_that_is_not_named_was_likelier() -> None:
    rounds = rounds_of(TEXT, 1)
    bits, freqs = AdaptiveStage([len(TEXT)]).predict(rounds)
    costs = symbol_bits(freqs, bits).reshape(-1, 8).sum(axis=1)
    reasons = explained(TEXT).reasons
    is_named = (reasons.likeliest == np.frombuffer(TEXT, np.uint8)[:, None]).any(axis=1)

    assert 0.6 < is_named.mean() < 1
    assert (2.0 ** -costs[~is_named] <= reasons.chances[~is_named, -1] + 1e-12).all()
    assert (np.diff(reasons.chances, axis=1) <= 0).all()
    assert (reasons.chances.sum(axis=1) <= 1 + 1e-9).all()


def test_evidence_names_who_knew() -> None:
    names = [SPEAKERS[s] for s in speakers_of_inputs()]
    assert len(names) == INPUTS
    assert set(names) == set(SPEAKERS)

    evidence = explained(TEXT).reasons.evidence
    repeated = explained(NOISE * 2).reasons.evidence[-400:]

    assert np.abs(evidence[:, SPEAKERS.index("network")]).max() < 0.1  # a uniform one says nothing
    assert SPEAKERS[int(np.argmax(repeated.mean(axis=0)))] == "match"
