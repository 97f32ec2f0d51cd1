"""Exact weights are of the shapes that kernels without bounds checks will read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from lmcompress.errors import ModelNotFoundError
from lmcompress.gpt.cpu.select import cpu_engine
from lmcompress.gpt.quantization import (
    MAX_GAIN,
    MAX_SCALE,
    ExactWeights,
    expected_arrays,
    quantize_network,
)
from lmcompress.gpt.reference import ExactGPT
from lmcompress.models.checkpoint import load_exact_checkpoint, load_network, save_exact_checkpoint
from tests.support.exactness import CONFIGS, random_weights


@pytest.mark.parametrize("name", CONFIGS)
def test_quantization_gives_the_expected_arrays(name: str) -> None:
    weights = random_weights(name)

    found = {n: (str(a.dtype), a.shape) for n, a in weights.arrays.items()}

    assert found == expected_arrays(weights.config)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_float_network_of_an_exact_checkpoint_has_its_integers(
    name: str, tmp_path: Path
) -> None:
    weights = random_weights(name)
    save_exact_checkpoint(weights, {}, tmp_path)

    found = quantize_network(load_network(tmp_path)).arrays

    for array, value in weights.arrays.items():
        if not array.endswith(".s"):
            assert np.array_equal(found[array], value), array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("token_embedding.q", lambda a: a[:100], "expected int8"),
        ("token_embedding.s", lambda a: a.astype(np.float64), "expected float32"),
        ("blocks.0.norm_1.gain", lambda a: a * np.float32(np.inf), "not finite"),
        ("blocks.0.up.s", lambda a: a * np.float32(np.nan), "not finite"),
        ("blocks.0.up.s", lambda a: a - np.float32(1e35), r"1e\+35, expected 4 at most"),
        ("token_embedding.s", lambda a: a + np.float32(4), "expected 4 at most: products would"),
        ("blocks.0.norm_1.gain", lambda a: a * 0 + np.float32(1025), "expected 1024 at most"),
        ("blocks.1.up.b", lambda a: a + np.float32(1e35), r"1e\+35, expected 1024 at most"),
        ("blocks.1.up.b", lambda a: None, "is missing"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, change, message: str) -> None:  # type: ignore[no-untyped-def]
    weights = random_weights("gpt-2")
    changed = {**weights.arrays, name: change(weights.arrays[name])}

    with pytest.raises(ValueError, match=message):
        ExactWeights(weights.config, {n: a for n, a in changed.items() if a is not None})


@pytest.mark.parametrize("name", CONFIGS)
def test_the_largest_values_that_are_allowed_give_finite_logits(name: str) -> None:
    """And the same ones in two engines: an infinity times zero would differ."""
    weights = random_weights(name)
    arrays = {
        array: np.full_like(value, MAX_SCALE if array.endswith(".s") else MAX_GAIN)
        if value.dtype == np.float32
        else value
        for array, value in weights.arrays.items()
    }
    largest = ExactWeights(weights.config, arrays)
    tokens = torch.arange(2 * 12).reshape(2, 12) % weights.config.vocab_size

    logits = ExactGPT(largest).logits(tokens)

    assert torch.isfinite(logits).all()
    engine = cpu_engine(largest, 2, 12, 1)
    try:
        found = engine.logits(tokens.numpy())
    finally:
        engine.close()
    assert np.array_equal(found, logits.transpose(0, 1).numpy())


@pytest.mark.parametrize(
    "values",
    [
        {"context_length": 8193},
        {"head_dim": 1026},
        {"mlp_hidden": (1 << 17) + 1},
        {"n_embd": 8256},
    ],
)
def test_sizes_whose_sums_could_overflow_are_refused(values: dict[str, int]) -> None:
    weights = random_weights("paper")

    with pytest.raises(ValueError, match="would overflow"):
        ExactWeights(dataclasses.replace(weights.config, **values), weights.arrays)


def test_a_checkpoint_of_other_shapes_is_one_clear_line(tmp_path: Path) -> None:
    weights = random_weights("paper")
    save_exact_checkpoint(weights, {}, tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace('"vocab_size": 256', '"vocab_size": 300'))

    with pytest.raises(ModelNotFoundError, match="expected int8 \\(300, 64\\)"):
        load_exact_checkpoint(tmp_path)
