"""What each byte costs, next to the files that compression makes."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig
from lmcompress.adaptive.evidence import SPEAKERS
from lmcompress.codec.costs import STORED, ByteCosts, byte_costs
from lmcompress.codec.scoring import score
from lmcompress.format.file import read_frames
from lmcompress.models.store import Model
from tests.support import token_model as tokens
from tests.support.command_line import TEXT

MIXED_TEXT = TEXT + "Ünïcödé — 世界 🌍 ".encode() * 9 + b"\xff\x00\x80abc" * 7 + TEXT[::-1]
NOISE = random.Random(4).randbytes(700)
WORD_BYTES = 8
"""The coder ends with at most two words of four bytes."""


def assert_adds_up(costs: ByteCosts, config: CodecConfig) -> None:
    """The costs of each segment against the payload that `compress` writes."""
    frame = lmcompress.compress(costs.raw, costs.model, config)
    found = [segment for reader in read_frames(io.BytesIO(frame)) for segment, _ in reader]

    assert costs.compressed_bytes == len(frame)
    assert len(found) == len(costs.segments)
    for segment, expected in zip(costs.segments, found, strict=True):
        part = costs.trace.bits[segment.start : segment.start + segment.raw_bytes]
        assert (segment.method, segment.payload_bytes) == (expected.method, expected.payload_bytes)
        assert segment.cost_bits == pytest.approx(part.sum())
        # A short payload leaves out zeros that happen to be at its end.
        assert (-1 if config.compact else -1e-6) <= segment.rest_bytes <= WORD_BYTES
        assert 8 * (segment.payload_bytes - segment.length_bytes) == pytest.approx(
            part.sum() + 8 * segment.rest_bytes
        )


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("name", ["tiny", "tiny-tokens", "none"])
def test_costs_add_up_to_the_payload(
    name: str, adaptive: bool, request: pytest.FixtureRequest
) -> None:
    if name == "none" and not adaptive:
        return  # nothing would predict
    fixture = {"tiny": "tiny_model", "tiny-tokens": "token_model"}.get(name)
    model = request.getfixturevalue(fixture) if fixture else name
    alone, lanes, compact = (
        CodecConfig(lanes=1, adaptive=adaptive),
        CodecConfig(lanes=3, segment_bytes=333, adaptive=adaptive),
        CodecConfig(lanes=2, compact=True, adaptive=adaptive),
    )
    pairs = [(MIXED_TEXT, alone), (MIXED_TEXT, lanes), (MIXED_TEXT, compact)]
    pairs += [(NOISE, alone), (NOISE, lanes), (TEXT, compact), (tokens.TEXT * 3, lanes)]
    pairs += [(b"x", alone), (b"x", compact), (b"", alone), (b"", compact)]
    for raw, config in pairs:
        assert_adds_up(byte_costs(raw, model, config), config)


@pytest.mark.parametrize("lanes", [1, 3])
def test_costs_are_those_of_the_score(tiny_model: Model, lanes: int) -> None:
    config = CodecConfig(lanes=lanes)
    costs = byte_costs(MIXED_TEXT, tiny_model, config)
    alone = score(MIXED_TEXT, tiny_model, CodecConfig(lanes=lanes, adaptive=False))

    assert costs.cost_bits == pytest.approx(
        score(MIXED_TEXT, tiny_model, config).quantized_code_length_bits
    )
    assert costs.trace.model_bits.sum() == pytest.approx(alone.quantized_code_length_bits)


def test_costs_stand_where_their_bytes_do(tiny_model: Model) -> None:
    """A byte that comes as a surprise costs more than its neighbours, in whichever lane it is."""
    raw = bytearray(TEXT)
    for at in (150, 333, 480):
        raw[at] = 0xF7

    costs = byte_costs(bytes(raw), tiny_model, CodecConfig(lanes=3)).trace.bits

    assert sorted(np.argsort(costs)[-3:]) == [150, 333, 480]


def test_a_prompt_makes_what_it_holds_cheap(tiny_model: Model) -> None:
    unknown = TEXT[::-1]
    config = CodecConfig(lanes=1, prompt=lmcompress.Prompt(unknown))
    costs = byte_costs(unknown[:200], tiny_model, config)

    assert_adds_up(costs, config)
    assert costs.cost_bits < 0.5 * byte_costs(unknown[:200], tiny_model).cost_bits


def test_tokens_begin_where_the_tokenizer_cuts(token_model: Model) -> None:
    from lmcompress.tokenizer.bpe import tokenizer_of

    table = token_model.tokens
    assert table is not None
    symbols = tokenizer_of(token_model.folder, table).encode(tokens.TEXT)
    starts = np.cumsum([0, *table.lengths(symbols)[:-1]])

    costs = byte_costs(tokens.TEXT, token_model, CodecConfig(lanes=2))

    assert np.flatnonzero(costs.trace.is_token_start).tolist() == starts.tolist()
    assert costs.trace.end_bits.sum() > 0
    assert (costs.trace.end_bits <= costs.trace.bits).all()


def test_stored_bytes_cost_eight_bits_and_nobody_predicted_them(tiny_model: Model) -> None:
    costs = byte_costs(NOISE, tiny_model)

    assert (costs.trace.bits == 8).all()
    assert set(costs.predictors) == {STORED}


@pytest.mark.parametrize("adaptive", [True, False])
def test_what_was_likely_is_named(tiny_model: Model, adaptive: bool) -> None:
    costs = byte_costs(TEXT, tiny_model, CodecConfig(lanes=1, adaptive=adaptive))
    chances, raw = costs.trace.chances, np.frombuffer(TEXT, np.uint8)
    row, column = np.nonzero(costs.trace.likeliest == raw[:, None])

    assert np.allclose(-np.log2(chances[row, column]), costs.trace.bits[row], atol=1e-3)
    assert (np.diff(chances, axis=1) <= 0).all()
    assert set(costs.predictors) <= (set(SPEAKERS) if adaptive else {"network"})


def test_columns_have_a_row_for_each_byte(tiny_model: Model) -> None:
    table = byte_costs(TEXT, tiny_model, CodecConfig(segment_bytes=100)).columns()

    assert {len(column) for column in table.values()} == {len(TEXT)}
    assert bytes(table["byte"].tolist()) == TEXT
    assert table["segment"].tolist() == [at // 100 for at in range(len(TEXT))]
    assert len(byte_costs(b"", tiny_model).columns()["bits"]) == 0


def test_without_a_predictor_there_are_no_costs() -> None:
    with pytest.raises(ValueError, match="nothing would predict"):
        byte_costs(TEXT, "none", CodecConfig(adaptive=False))
