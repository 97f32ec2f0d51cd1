"""Published checkpoints give the logits that `transformers` gives, or are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcompress.errors import ModelNotFoundError, UnsupportedModelError
from lmcompress.gpt.reference import ExactGPT
from lmcompress.models.pretrained import open_pretrained

pytest.importorskip("transformers")

from tests.support.published_checkpoints import CHECKPOINTS, checkpoint, tokens


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_float_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    theirs = checkpoint(name, tmp_path)

    with torch.no_grad():
        expected = theirs(tokens()).logits
        found = open_pretrained(tmp_path).network()(tokens())

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_exact_logits_are_near_those_of_transformers(name: str, tmp_path: Path) -> None:
    theirs = checkpoint(name, tmp_path)

    with torch.no_grad():
        expected = torch.log_softmax(theirs(tokens()).logits.double(), -1)
        weights = open_pretrained(tmp_path, activation_bits=12).weights()
        found = torch.log_softmax(ExactGPT(weights).logits(tokens()).double(), -1)

    code_length, exact_code_length = (
        -x[:, :-1].gather(-1, tokens()[:, 1:, None]).sum().item() for x in (expected, found)
    )
    assert exact_code_length == pytest.approx(code_length, rel=5e-3)


def test_the_context_may_be_shortened_and_not_lengthened(tmp_path: Path) -> None:
    checkpoint("gpt-2", tmp_path)

    assert open_pretrained(tmp_path, context_length=16).config.context_length == 16
    assert open_pretrained(tmp_path, context_length=999).config.context_length == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "architecture is mamba, expected one of llama"),
        ({"hidden_act": "relu"}, "hidden_act is relu, expected silu"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "of type yarn"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "of type linear"),
        ({"num_hidden_layers": 0}, "n_layer is 0"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_by_name(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    checkpoint("llama", tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(UnsupportedModelError, match=message):
        open_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    checkpoint("llama", tmp_path)
    (tmp_path / name).unlink()

    with pytest.raises(ModelNotFoundError, match=name):
        open_pretrained(tmp_path)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    checkpoint("llama", tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 3}))

    with pytest.raises(ModelNotFoundError, match=r"no tensor model\.layers\.2"):
        open_pretrained(tmp_path).weights()


def test_truncated_safetensors_are_one_clear_line(tmp_path: Path) -> None:
    checkpoint("llama", tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(ModelNotFoundError, match=r"model\.safetensors is damaged"):
        open_pretrained(tmp_path)
