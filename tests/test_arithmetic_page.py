"""docs/arithmetic.md says all that a second implementation needs: one made from it agrees."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from exactness import CONFIGS, random_tokens, random_weights
from second_implementation import SecondGPT

from lmcompress.gpt.engine_torch import TorchEngine
from lmcompress.gpt.quantization import ARITHMETIC_VERSION, ExactWeights
from lmcompress.model_store import DEFAULT_MODEL, load_model

PAGE = Path(__file__).resolve().parent.parent / "docs" / "arithmetic.md"


@pytest.mark.parametrize("name", [*CONFIGS, "wide", DEFAULT_MODEL])
def test_a_second_implementation_gives_the_same_frequencies(name: str) -> None:
    if name == "wide":
        weights = random_weights("llama")
        config = dataclasses.replace(weights.config, activation_bits=12)
        weights = ExactWeights(config, weights.arrays)
    else:
        weights = random_weights(name) if name in CONFIGS else load_model(name).weights
    tokens = random_tokens(1, 24)
    expected = TorchEngine(weights, "cpu").predict(tokens)[:, 0]

    second = SecondGPT(weights.config, dict(weights.arrays))

    for token, row in zip(tokens[0], expected, strict=True):
        assert np.array_equal(np.array(second.read(int(token))), 1 + row.astype(np.int64))


def test_the_page_is_of_this_version_of_the_arithmetic() -> None:
    assert re.search(r"version (\d+) of the\narithmetic", PAGE.read_text("utf-8"))[1] == str(
        ARITHMETIC_VERSION
    )
