"""Exact weights are of the shapes that kernels without bounds checks will read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lmcompress.errors import ModelNotFoundError
from lmcompress.gpt.quantization import ExactWeights, expected_arrays, quantize_network
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
        ("blocks.1.up.b", lambda a: None, "is missing"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, change, message: str) -> None:  # type: ignore[no-untyped-def]
    weights = random_weights("gpt-2")
    changed = {**weights.arrays, name: change(weights.arrays[name])}

    with pytest.raises(ValueError, match=message):
        ExactWeights(weights.config, {n: a for n, a in changed.items() if a is not None})


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
