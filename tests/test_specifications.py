"""Second implementations, of what docs/arithmetic.md and docs/adaptive.md say, agree."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec.predictor import ContextPolicy, GPTPredictor
from lmcompress.gpt.quantization import ARITHMETIC_VERSION, ExactWeights
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.store import DEFAULT_MODEL, load_model
from tests.support.exactness import CONFIGS, random_tokens, random_weights
from tests.support.second_implementation import SecondGPT
from tests.support.second_stage import SecondStage

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


@pytest.mark.parametrize("name", ["gpt-2", "ngrams"])
def test_a_stream_starts_anew_as_the_page_says(name: str) -> None:
    weights, tokens, window, overlap = random_weights(name), random_tokens(1, 30), 11, 3
    engine = TorchEngine(weights, "cpu")
    predictor = GPTPredictor(weights, engine, ContextPolicy(window, overlap))
    expected = predictor.predict(tokens)[:, 0]

    read: list[int] = []
    second = SecondGPT(weights.config, dict(weights.arrays))
    for token, row in zip(tokens[0].tolist(), expected, strict=True):
        if len(second.tokens) == window:
            second = SecondGPT(weights.config, dict(weights.arrays))
            for before in read[-overlap:]:
                second.read(before)
        read.append(token)
        assert np.array_equal(np.array(second.read(token)), 1 + row.astype(np.int64))


def test_the_page_is_of_this_version_of_the_arithmetic() -> None:
    assert re.search(r"Version (\d+) of the arithmetic", PAGE.read_text("utf-8"))[1] == str(
        ARITHMETIC_VERSION
    )


def stage_text(num_bytes: int) -> bytes:
    """Returns lines that repeat, change in places and end, words, numbers and other letters.

    Every other line ends in one of two ways after 49 bytes that are the same: where it ends as the
    last but one did, a match of 40 bytes is found. À has the byte 128, and a word goes on after it.
    """
    lines = [
        f"{i % 7};the quick brown fox number {i} jumps over the lazy dogs, été {i * i % 13}\n"
        f"Àrivers of the town run by Àroads and roads by the {('sea', 'old mill')[i % 2]}\n"
        for i in range(num_bytes)
    ]
    return "".join(lines).encode()[:num_bytes]


@pytest.mark.parametrize(("lanes", "num_bytes"), [(1, 1500), (3, 1999), (16, 2000)])
def test_a_second_adaptive_stage_gives_the_same_probabilities(lanes: int, num_bytes: int) -> None:
    steps = -(-num_bytes // lanes)
    rows = np.frombuffer(stage_text(lanes * steps), np.uint8).reshape(lanes, steps)
    symbols = rows.T.reshape(-1)[:num_bytes].astype(np.int32)
    rng = np.random.default_rng(lanes)
    weights = rng.integers(0, 1 << 16, (steps, lanes, 256)).astype(np.float32)
    weights[np.arange(steps)[:, None], np.arange(lanes), rows.T] += 1 << 20  # it knows something

    bits, expected = AdaptiveStage(lanes, steps).predict(symbols, weights)

    found = SecondStage(lanes, steps).run(symbols.tolist(), weights.astype(np.int64).tolist())
    assert [y for y, _ in found] == bits.tolist()
    assert [4 * p for _, p in found] == (1 + expected[:, 1].astype(np.int64)).tolist()
