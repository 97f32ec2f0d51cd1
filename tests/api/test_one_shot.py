"""Bytes in memory: keywords, progress, prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.models.store import Model
from tests.support.command_line import TEXT


def test_keywords_override_the_fields_of_config(tiny_model: Model) -> None:
    config = CodecConfig(lanes=4, adaptive=False)

    found = lmcompress.compress(TEXT, tiny_model, config, lanes=2)

    assert found == lmcompress.compress(TEXT, tiny_model, CodecConfig(lanes=2, adaptive=False))
    assert found != lmcompress.compress(TEXT, tiny_model, config)


def test_a_keyword_that_does_not_apply_is_refused(tiny_model: Model, tmp_path: Path) -> None:
    frame = lmcompress.compress(TEXT, tiny_model)

    with pytest.raises(TypeError, match=r"unexpected keyword 'lane', expected one of .*lanes"):
        lmcompress.compress(TEXT, tiny_model, lane=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword 'lanes', expected one of device"):
        lmcompress.decompress(frame, lanes=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword 'lanes', expected one of device"):
        lmcompress.open(tmp_path / "text.lmc", "rb", lanes=1)  # type: ignore[call-overload]


def test_keywords_out_of_range_are_refused(tiny_model: Model) -> None:
    with pytest.raises(ValueError, match="lanes is 0"):
        lmcompress.compress(TEXT, tiny_model, lanes=0)


def test_progress_adds_up_to_the_data(tiny_model: Model) -> None:
    for function, data in (
        (lmcompress.compress, TEXT),
        (lmcompress.score, TEXT),
        (lmcompress.decompress, lmcompress.compress(TEXT, tiny_model)),
    ):
        done: list[int] = []
        function(data, tiny_model, progress=done.append)  # type: ignore[operator]
        assert sum(done) == len(TEXT)


def test_score_measures_with_the_prompt(tiny_model: Model) -> None:
    alone = lmcompress.score(TEXT[:100], tiny_model)
    primed = lmcompress.score(TEXT[:100], tiny_model, prompt=Prompt(TEXT))

    assert primed.quantized_code_length_bits < alone.quantized_code_length_bits


@pytest.mark.parametrize("work", [lmcompress.compress, lmcompress.decompress, lmcompress.score])
@pytest.mark.parametrize("data", [None, "text", 7])
def test_what_is_not_bytes_is_refused(work: Callable[[Any], object], data: object) -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        work(data)


def test_an_array_counts_by_its_bytes() -> None:
    array = np.arange(300)

    assert lmcompress.score(array, "none").raw_bytes == array.nbytes  # type: ignore[arg-type]
    assert lmcompress.decompress(lmcompress.compress(array, "none")) == array.tobytes()  # type: ignore[arg-type]


def test_a_prompt_that_is_not_one_is_refused() -> None:
    with pytest.raises(TypeError, match="prompt is of type bytes, expected Prompt"):
        lmcompress.compress(b"a", "none", prompt=b"b")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prompt is of type str, expected bytes"):
        lmcompress.Prompt("b")  # type: ignore[arg-type]
