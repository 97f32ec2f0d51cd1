"""Scores, next to the files that compression makes."""

from __future__ import annotations

import io

import pytest

import lmcompress
from lmcompress import CodecConfig
from lmcompress.errors import LimitExceededError
from lmcompress.format.full import FrameReader
from lmcompress.models.store import Model
from tests.support.command_line import TEXT


def test_score_is_just_below_what_compression_gives(tiny_model: Model) -> None:
    config = CodecConfig(lanes=3)
    score = lmcompress.score(TEXT, tiny_model, config)
    reader = FrameReader(io.BytesIO(lmcompress.compress(TEXT, tiny_model, config)))
    [(segment, _)] = list(reader)

    overhead = 8 * segment.payload_bytes - score.quantized_code_length_bits
    assert 0 <= overhead <= 64


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("name", ["tiny", "none"])
def test_the_ideal_is_never_above_what_the_coder_is_given(
    name: str, adaptive: bool, tiny_model: Model
) -> None:
    if name == "none" and not adaptive:
        with pytest.raises(ValueError, match="nothing would predict"):
            lmcompress.score(TEXT, name, CodecConfig(adaptive=adaptive))
        return
    for raw in (TEXT, b"\x00\xff" * 20, b"x"):
        score = lmcompress.score(raw, name, CodecConfig(lanes=1, adaptive=adaptive))

        assert 0 < score.ideal_code_length_bits <= score.quantized_code_length_bits


def test_the_ideal_of_a_segment_that_only_the_stage_predicts_includes_what_it_knows() -> None:
    score = lmcompress.score(TEXT, "none")

    assert score.ideal_bits_per_byte == score.quantized_bits_per_byte < 6


def test_the_memory_limit_is_that_of_compress(tiny_model: Model) -> None:
    for measure in (lmcompress.score, lmcompress.compress):
        with pytest.raises(LimitExceededError, match="allow more with memory_limit"):
            measure(TEXT, tiny_model, CodecConfig(memory_limit=1))


def test_without_the_adaptive_stage_scores_are_the_models_own(tiny_model: Model) -> None:
    score = lmcompress.score(TEXT, tiny_model, CodecConfig(lanes=3, adaptive=False))

    assert abs(score.ideal_bits_per_byte - score.quantized_bits_per_byte) < 1e-3
