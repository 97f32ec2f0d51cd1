"""The installed models, listed, loaded and fetched."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

import lmcompress
from lmcompress.models.store import DEFAULT_MODEL, Model


def test_listed_models_have_the_size_and_fingerprint_of_loaded_ones(
    token_model: Model, tiny_model_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = [token_model.folder.parent, tiny_model_root]
    monkeypatch.setenv("LMCOMPRESS_MODELS", os.pathsep.join(map(str, roots)))

    listed = {model.name: model for model in lmcompress.list_models()}

    assert listed[DEFAULT_MODEL].model_bytes == 3_315_840  # as in results/*/records.jsonl
    for name in (DEFAULT_MODEL, "ladder-50k", "tiny", "tiny-tokens", "none"):
        model = lmcompress.load_model(name)
        assert listed[name].model_bytes == model.model_bytes
        assert listed[name].fingerprint == model.fingerprint.hex()
        assert listed[name].num_parameters == model.num_parameters
        assert listed[name].folder == model.folder
    assert [model.name for model in listed.values() if model.is_default] == [DEFAULT_MODEL]


def test_a_checkpoint_of_floats_is_listed_without_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmcompress.gpt.config import GPTConfig
    from lmcompress.gpt.network import GPT
    from lmcompress.models.checkpoint import save_float_checkpoint

    network = GPT(GPTConfig(n_layer=1, n_embd=32, n_head=1, context_length=16))
    save_float_checkpoint(network, {"name": "mine"}, tmp_path / "mine")
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tmp_path))

    [listed] = [model for model in lmcompress.list_models() if model.name == "mine"]

    assert (listed.model_bytes, listed.fingerprint) == (None, None)
    assert listed.num_parameters == network.config.num_parameters


def test_models_can_be_keys_of_a_dict(tiny_model: Model) -> None:
    assert {tiny_model: 1}[lmcompress.load_model("tiny")] == 1
    assert dataclasses.replace(tiny_model, name="other") not in {tiny_model}


def test_fetch_returns_a_model_that_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tokenizers")
    pytest.importorskip("transformers")
    from tests.support.published_checkpoints import checkpoint
    from tests.support.token_model import tokenizer_json

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkpoint("llama", tmp_path / "published")
    (tmp_path / "published" / "tokenizer.json").write_text(tokenizer_json(), "utf-8")

    model = lmcompress.fetch(tmp_path / "published", "mine")

    listed = {listed.name: listed for listed in lmcompress.list_models()}
    assert listed["mine"].fingerprint == model.fingerprint.hex()
    assert listed["mine"].model_bytes == model.model_bytes
