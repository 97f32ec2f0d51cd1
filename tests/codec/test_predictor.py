"""Predictors: the uniform one, and a GPT that runs past its context."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lmcompress
from lmcompress.codec.predictor import ContextPolicy, GPTPredictor, UniformPredictor, new_predictor
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import quantize_network
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.store import Model
from tests.support.coding import decoded, encoded
from tests.support.command_line import TEXT
from tests.support.exactness import random_tokens, random_weights


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_uniform_predictor_costs_8_bits_a_byte(lanes: int) -> None:
    raw = bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8))

    [payload] = encoded(raw, UniformPredictor(), lanes, 10)

    assert abs(len(payload) - len(raw)) <= 8
    assert decoded(payload, len(raw), UniformPredictor(), lanes) == raw


@pytest.mark.parametrize("name", ["gpt-2", "gpt-1", "llama", "gpt-3"])
def test_texts_longer_than_the_context_come_back(name: str) -> None:
    weights = random_weights(name)  # context 48
    policy = ContextPolicy.of(weights)
    assert policy == ContextPolicy(48, 12)

    [payload] = encoded(TEXT, new_predictor(weights, 2, 30, policy), 2, 30)

    assert decoded(payload, len(TEXT), new_predictor(weights, 2, 12, policy), 2) == TEXT


@pytest.mark.parametrize("engine_of", ["reference", "kernels"])
@pytest.mark.parametrize("name", ["gpt-2", "ngrams"])
def test_a_window_starts_from_its_overlap(name: str, engine_of: str) -> None:
    weights = random_weights(name)
    tokens = random_tokens(2, 60)
    fast = CpuEngine(CpuModel(weights), 2, 10, 1)
    engine = TorchEngine(weights, "cpu") if engine_of == "reference" else fast
    predictor = GPTPredictor(weights, engine, ContextPolicy(48, 12))

    found = predictor.predict(tokens)

    fresh = TorchEngine(weights, "cpu")
    expected = fresh.predict(tokens[:, 36:])[12:]
    assert np.array_equal(found[48:], expected)


def test_a_model_without_a_symbol_for_each_byte_is_refused(tmp_path: Path) -> None:
    network = GPT(GPTConfig(vocab_size=128, n_layer=1, n_embd=32, n_head=1, context_length=16))
    model = Model("ascii", quantize_network(network), {}, tmp_path)

    with pytest.raises(ValueError, match="vocab_size is 128, expected 256"):
        lmcompress.compress("na\u00efve".encode(), model)
