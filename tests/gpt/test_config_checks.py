"""A configuration from a file is checked before anything of its size is made."""

from __future__ import annotations

from typing import Any

import pytest

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.quantization import quantize_tensors


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bias", None),
        ("bias", 1),
        ("n_layer", True),
        ("n_embd", 64.0),
        ("norm_eps", "1e-5"),
        ("rotary_base", False),
        ("norm", 3),
        ("bos_id", None),
        ("attention_windows", 3),
        ("attention_windows", "16"),
        ("attention_windows", [16.0]),
        ("ngram_orders", None),
    ],
)
def test_a_value_of_another_type_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match="wrong type"):
        GPTConfig.from_dict({option: value})


def test_a_whole_number_is_a_number() -> None:
    assert GPTConfig.from_dict({"rotary_base": 10000}) == GPTConfig()


@pytest.mark.parametrize("option", ["n_layer", "context_length", "rotary_period"])
def test_a_size_that_no_model_has_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 4000000000, expected [0-9]+ at most"):
        GPTConfig.from_dict({option: 4_000_000_000})


def test_a_context_that_cannot_be_exact_is_refused_before_its_tables_are_made() -> None:
    config = GPTConfig(context_length=1 << 20)

    with pytest.raises(ValueError, match="context_length is 1048576, expected 8192 at most"):
        quantize_tensors(config, [])
