"""A run that was stopped goes on as if it had not been, and never as another run."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lmcompress.errors import TrainingError
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer
from tests.support.training_run import make_config


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(
    tmp_path: Path, optimizer: str
) -> None:
    config = make_config(tmp_path, optimizer)
    Trainer(config, tmp_path / "unbroken").run()
    trainer = Trainer(config, tmp_path / "broken")
    step = trainer.batches.step

    def interrupted(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        if number == 9:
            raise KeyboardInterrupt
        return step(number)

    trainer.batches.step = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    resumed = Trainer(config, tmp_path / "broken")
    assert resumed.start_step == 9
    resumed.run()

    expected = load_file(tmp_path / "unbroken" / "model.safetensors")
    found = load_file(tmp_path / "broken" / "model.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_killed_process_resumes(tmp_path: Path) -> None:
    make_config(tmp_path, total_bytes=100_000 * 256)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "lmcompress", "train"]
    command += ["--config", str(tmp_path / "tiny-run.toml"), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (out / "training.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    trainer = Trainer(make_config(tmp_path, total_bytes=100_000 * 256), out)

    assert trainer.start_step > 0


def test_the_seconds_in_the_log_are_those_of_all_its_processes(
    tmp_path: Path, config: TrainConfig
) -> None:
    trainer = Trainer(config, tmp_path / "run")
    trainer._seconds_before = 1000.0
    trainer.run()

    resumed = Trainer(config, tmp_path / "run")
    resumed.run()

    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert all(row["seconds"] >= 1000 for row in rows)
    assert resumed._seconds > 1000


def test_a_state_from_before_an_option_existed_resumes(tmp_path: Path, config: TrainConfig) -> None:
    Trainer(config, tmp_path / "run").run()
    path = tmp_path / "run" / "training.safetensors"
    with safe_open(path, "pt") as state:
        metadata = state.metadata()
    before = json.loads(metadata["config"])
    del before["model"]["parallel_residual"]
    save_file(load_file(path), path, {**metadata, "config": json.dumps(before)})

    assert Trainer(config, tmp_path / "run").start_step == config.num_steps()


def test_a_folder_with_another_network_is_not_overwritten(
    tmp_path: Path, config: TrainConfig
) -> None:
    Trainer(config, tmp_path / "run").run()
    other = dataclasses.replace(config, model=dataclasses.replace(config.model, n_layer=2,
                                attention_windows=(16, 16)))  # fmt: skip

    with pytest.raises(TrainingError, match="another shape"):
        Trainer(other, tmp_path / "run")


@pytest.mark.parametrize("spoil", [lambda raw: raw[:100], lambda raw: b"\x02" + bytes(7) + b"{}"])
def test_a_damaged_state_is_one_clear_line(
    spoil: Callable[[bytes], bytes], tmp_path: Path, config: TrainConfig
) -> None:
    Trainer(config, tmp_path / "run").run()
    path = tmp_path / "run" / "training.safetensors"
    path.write_bytes(spoil(path.read_bytes()))

    with pytest.raises(TrainingError, match=r"is damaged .* delete it to start over"):
        Trainer(config, tmp_path / "run")


def test_another_optimizers_state_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    Trainer(config, tmp_path / "run").run()

    with pytest.raises(TrainingError, match="optimizer adamw, the configuration says muon"):
        Trainer(dataclasses.replace(config, optimizer="muon"), tmp_path / "run")


@pytest.mark.parametrize("change", [{"learning_rate": 0.5}, {"seed": 2}, {"total_bytes": 512}])
def test_a_run_does_not_go_on_as_another(
    change: dict[str, Any], tmp_path: Path, config: TrainConfig
) -> None:
    Trainer(config, tmp_path / "run").run()

    with pytest.raises(TrainingError, match=f"{next(iter(change))}.*choose another output folder"):
        Trainer(dataclasses.replace(config, **change), tmp_path / "run")
    Trainer(dataclasses.replace(config, eval_interval=1), tmp_path / "run")
