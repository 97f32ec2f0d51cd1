"""A run that begins with a model: its weights, its card, and what it may not hold out."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lmcompress.errors import LmcompressError, TrainingError
from lmcompress.models.checkpoint import load_network
from lmcompress.models.store import load_model
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer
from lmcompress.training.warm_start import joined_card


def test_a_run_begins_with_the_weights_of_a_model(config: TrainConfig, tmp_path: Path) -> None:
    Trainer(config, tmp_path / "before").run()
    config = dataclasses.replace(config, init_from=str(tmp_path / "before"), total_bytes=2 * 256)

    trainer = Trainer(config, tmp_path / "run")

    expected = load_file(tmp_path / "before" / "model.safetensors")
    assert all(torch.equal(trainer.network.state_dict()[k], v) for k, v in expected.items())
    trainer.run()
    card = json.loads((tmp_path / "run" / "model.json").read_text())["card"]
    assert card["bytes_seen"] == 22 * 256
    assert card["began_with"]["bytes_seen"] == 20 * 256
    assert card["began_with"]["fingerprint"] == load_model(tmp_path / "before").fingerprint.hex()


def test_a_new_table_of_ngrams_predicts_what_the_model_does(
    config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(config, tmp_path / "before").run()
    shape = dataclasses.replace(config.model, ngram_orders=(2, 4), ngram_bits=6)
    config = dataclasses.replace(config, init_from=str(tmp_path / "before"), model=shape)
    tokens = torch.from_numpy(np.frombuffer(b"line 7 of a text", np.uint8).astype(np.int64))[None]

    trainer = Trainer(config, tmp_path / "run")

    with torch.no_grad():
        expected = load_network(tmp_path / "before")(tokens)
        assert torch.equal(trainer.network(tokens), expected)
    trainer.run()
    with torch.no_grad():
        assert not torch.equal(trainer.network(tokens), expected)
    assert (trainer.network.ngram_embedding.weight != 0).any(1).sum() > 50


def test_a_resumed_run_no_longer_needs_the_model_that_it_began_with(
    config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(config, tmp_path / "before").run()
    later = dataclasses.replace(config, init_from=str(tmp_path / "before"))
    Trainer(later, tmp_path / "run").run()
    expected = json.loads((tmp_path / "run" / "model.json").read_text())["card"]
    shutil.rmtree(tmp_path / "before")

    Trainer(later, tmp_path / "run").run()

    assert json.loads((tmp_path / "run" / "model.json").read_text())["card"] == expected


def test_a_run_that_began_otherwise_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    Trainer(config, tmp_path / "run").run()
    other = dataclasses.replace(config, init_from="lmc-3m")

    with pytest.raises(TrainingError, match="init_from , the configuration says lmc-3m"):
        Trainer(other, tmp_path / "run")


def test_what_the_model_before_has_read_is_not_held_out(
    config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(config, tmp_path / "before").run()
    more = dataclasses.replace(config, init_from=str(tmp_path / "before"), holdout_bytes=600)

    with pytest.raises(TrainingError, match="except the last 512 bytes: holdout_bytes is 600"):
        Trainer(more, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "message"), [("none", "expected a GPT"), ("lmc-3n", "did you mean lmc-3m")]
)
def test_what_no_run_can_begin_with_is_named(
    config: TrainConfig, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(LmcompressError, match=message):
        Trainer(dataclasses.replace(config, init_from=name), tmp_path / "run")


def test_what_the_model_before_was_trained_on_stays_on_the_card() -> None:
    before = {"name": "a", "fingerprint": "00", "trained_on": ["z", "b"], "bytes_seen": 5}

    card = joined_card({"trained_on": ["b", "c"], "bytes_seen": 2}, before)

    assert card["trained_on"] == ["b", "c", "z"]
    assert card["bytes_seen"] == 7


def test_a_model_to_begin_with_has_the_networks_shape(config: TrainConfig, tmp_path: Path) -> None:
    other = dataclasses.replace(config, init_from="ladder-50k")

    with pytest.raises(TrainingError, match=r"ladder-50k has n_layer \d+, \[model\] says 1"):
        Trainer(other, tmp_path / "run")
