"""A configuration says what a run does, or one clear line says why it cannot."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from lmcompress.errors import TrainingError
from lmcompress.models.store import load_model
from lmcompress.training.config import TrainConfig
from lmcompress.training.optimizers import learning_rate_scale
from lmcompress.training.trainer import Trainer
from tests.support.training_run import make_config


def test_learning_rate_warms_up_and_falls(config: TrainConfig) -> None:
    scales = [learning_rate_scale(config, step, 20) for step in range(20)]

    assert scales[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert scales[2:] == sorted(scales[2:], reverse=True)
    assert scales[-1] < 0.1


def test_gpt1s_schedule_can_be_written_down(tmp_path: Path) -> None:
    """Radford et al. (2018): 2,000 steps up to 2.5e-4, then a cosine to 0; Adam, 0.999."""
    config = dataclasses.replace(
        make_config(tmp_path, total_bytes=10_000 * 256), learning_rate=2.5e-4, adam_beta2=0.999,
        warmup_steps=2000, final_lr_fraction=0.0,
    )  # fmt: skip

    rates = [
        2.5e-4 * learning_rate_scale(config, step, 10_000) for step in (0, 999, 1999, 6000, 9999)
    ]
    assert rates == pytest.approx([1.25e-7, 1.25e-4, 2.5e-4, 1.25e-4, 0], abs=1e-9)
    [adam] = Trainer(config, tmp_path / "run").optimizers
    assert all(group["betas"] == (0.9, 0.999) for group in adam.param_groups)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('optimizer = "sgd"', "expected adamw or muon"),
        ("sequence_length = 128", "over the model's context_length"),
        ("holdout_bytes = 63", "under sequence_length 64"),
        ('precision = "fp8"', "expected auto, bfloat16 or float32"),
        ("short_sequence_length = 48", "not a multiple of short_sequence_length 48"),
        ("batch_size = 0", "batch_size is 0, expected at least 1"),
        ("log_interval = 0", "log_interval is 0, expected at least 1"),
        ("learning_rat = 1", "unknown option 'learning_rat'"),
        ("batch_size = [", "not valid TOML"),
        ('total_bytes = "x"', "total_bytes is 'x', expected a whole number"),
        ("learning_rate = [1]", r"learning_rate is \[1\], expected a number"),
        ("compile = 1", "compile is 1, expected true or false"),
        ("init_from = 3", "init_from is 3, expected a string"),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(tmp_path: Path, line: str, message: str) -> None:
    make_config(tmp_path)
    path = tmp_path / "tiny-run.toml"
    key = line.split(" =")[0]
    lines = [x for x in path.read_text().splitlines() if not x.startswith(f"{key} =")]
    path.write_text("\n".join([line, *lines]))

    with pytest.raises(TrainingError, match=message):
        TrainConfig.from_toml(path)


def test_without_a_shape_a_run_has_that_of_the_model_it_begins_with(tmp_path: Path) -> None:
    make_config(tmp_path)
    path = tmp_path / "tiny-run.toml"
    sources = path.read_text()[path.read_text().index("[sources]") :]
    path.write_text(f'init_from = "lmc-3m"\nsequence_length = 1024\n{sources}')

    weights = load_model("lmc-3m").weights

    assert weights is not None
    assert TrainConfig.from_toml(path).model == weights.config


@pytest.mark.parametrize("weight", ["0", "-1", '"x"'])
def test_a_weight_that_draws_nothing_is_refused(tmp_path: Path, weight: str) -> None:
    make_config(tmp_path)
    path = tmp_path / "tiny-run.toml"
    head, name, _ = re.split(r"(\[sources\]\n.* = ).*", path.read_text(), maxsplit=1)
    path.write_text(f"{head}{name}{weight}\n")

    with pytest.raises(TrainingError, match="weight"):
        TrainConfig.from_toml(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('sources = ["a.txt"]', "expected a table"),
        ("model = []", "expected a table"),
        ("[model]\nvocab_size = 4096\n[sources]\na = 1", "no tokenizer is named"),
    ],
)
def test_what_would_fail_late_is_one_line_at_once(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text, "utf-8")

    with pytest.raises(TrainingError, match=message):
        TrainConfig.from_toml(path)
