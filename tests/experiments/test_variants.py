"""Runs side by side differ in what they say they differ in, and in nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from experiments import architectures, candidates
from experiments.support.runs import train_config
from experiments.support.variants import quick_one
from lmcompress.training.config import TrainConfig

FOLLOWS_FROM_THE_SHAPE = {"n_kv_head", "head_dim", "mlp_hidden"}


def options(config: TrainConfig) -> dict[str, Any]:
    """Returns what a training configuration says, but for its name."""
    found = config.to_dict() | config.model.to_dict()
    return {key: found[key] for key in found.keys() - {"name", "model"} - FOLLOWS_FROM_THE_SHAPE}


def differences(config: TrainConfig, other: TrainConfig) -> set[str]:
    ours, theirs = options(config), options(other)
    return {key for key in ours if ours[key] != theirs[key]}


@pytest.mark.parametrize("label", candidates.CANDIDATES)
def test_a_candidate_differs_from_the_base_in_what_it_says(label: str) -> None:
    found = candidates.train_configs()

    change = candidates.CANDIDATES[label]
    assert differences(found[label], found["base"]) == {*change.model, *change.training}
    assert len({config.name for config in found.values()}) == len(candidates.CANDIDATES)


def test_a_missing_teacher_is_found_out_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "TEACHER", "no-such-model")
    monkeypatch.setattr(candidates, "trained", lambda *_, **__: pytest.fail("it trains"))
    result = CliRunner().invoke(candidates.main, ["--runs", str(tmp_path)])

    assert result.exit_code == 1
    assert "no-such-model" in result.output


def test_candidates_read_the_text_of_the_default() -> None:
    assert candidates.train_configs()["base"].sources == train_config("lmc-3m").sources


def test_architectures_are_trained_alike_but_for_the_rate() -> None:
    first, *others = (train_config(name) for name in architectures.CONFIGS.values())
    of_training = set(first.to_dict()) - {"name", "model"}

    for other in others:
        assert differences(first, other) & of_training <= {"learning_rate"}


def test_a_quick_run_has_the_same_network() -> None:
    config = candidates.train_configs()["hashed n-grams"]

    assert quick_one(config).model == config.model
    assert quick_one(config).total_bytes < config.total_bytes
