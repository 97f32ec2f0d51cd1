"""Training learns, alone and in two processes, and measures what it says."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import lmcompress
from lmcompress.errors import MissingDependencyError
from lmcompress.training.batches import Batches
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer, train
from tests.support.training_run import make_config


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_learns_and_its_checkpoint_compresses(tmp_path: Path, optimizer: str) -> None:
    config = make_config(tmp_path, optimizer, 60 * 256)

    figures = Trainer(config, tmp_path / "run").run()

    assert figures["validation_bits_per_byte"]["mean"] < 5
    raw = (tmp_path / "source.txt").read_bytes()[:3000]
    frame = lmcompress.compress(raw, tmp_path / "run")
    assert len(frame) < 5 / 8 * len(raw)
    assert lmcompress.decompress(frame, model=str(tmp_path / "run")) == raw
    card = json.loads((tmp_path / "run" / "model.json").read_text())["card"]
    assert card["bytes_seen"] == 60 * 256
    assert card["trained_on"] == list(config.sources)


def test_training_in_float32_does_not_round_to_bfloat16(
    tmp_path: Path, config: TrainConfig
) -> None:
    losses = {
        precision: Trainer(
            dataclasses.replace(config, precision=precision), tmp_path / precision
        ).validate()["validation_bits_per_byte"]["mean"]
        for precision in ("float32", "bfloat16")
    }

    assert losses["float32"] == pytest.approx(losses["bfloat16"], rel=0.01)
    trainer = Trainer(dataclasses.replace(config, precision="float32"), tmp_path / "float32")
    inputs, targets = trainer.batches.step(0)
    exact = torch.nn.functional.cross_entropy(
        trainer.network(inputs).flatten(0, 1), targets.flatten()
    )
    assert trainer._loss(inputs, targets).item() == exact.item()


def test_two_processes_train_as_one_with_their_batches_joined(tmp_path: Path) -> None:
    # AdamW hides the scale of gradients, unless some steps clip them and others do not.
    config = make_config(tmp_path, options='precision = "float32"\nclip_norm = 1.5')
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "lmcompress", "train", "--device", "cpu"]
    command += ["--config", str(tmp_path / "tiny-run.toml"), "--out", str(tmp_path / "two")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    parts = [Batches(config, rank, 2) for rank in range(2)]
    one = Trainer(config, tmp_path / "one")

    def joined(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = zip(*(part.step(step) for part in parts), strict=True)
        return torch.cat(inputs), torch.cat(targets)

    one.batches.step = joined  # type: ignore[method-assign]
    figures = one.run()

    expected = load_file(tmp_path / "one" / "model.safetensors")
    found = load_file(tmp_path / "two" / "model.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-4, msg=name)
    card = json.loads((tmp_path / "two" / "model.json").read_text())["card"]
    two = card["validation_bits_per_byte"]["mean"]
    assert two == pytest.approx(figures["validation_bits_per_byte"]["mean"], abs=2e-4)


def test_the_gradient_is_clipped_to_the_norm_that_the_configuration_says(
    tmp_path: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(dataclasses.replace(config, clip_norm=1e-3), tmp_path / "run")
    monkeypatch.setattr(trainer, "optimizers", [])  # which would clear the gradients

    trainer._train_step(0)

    gradients = [p.grad for p in trainer.network.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_validation_weights_a_last_smaller_batch_by_its_bytes(
    tmp_path: Path, config: TrainConfig
) -> None:
    config = dataclasses.replace(config, holdout_bytes=5 * 64)  # in batches of 4 sequences
    trainer = Trainer(config, tmp_path / "run")
    [name] = config.sources
    batches = list(trainer.batches.validation(name))
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    with torch.no_grad():
        rows = [trainer._loss(inputs[i : i + 1], targets[i : i + 1]).item() for i in range(5)]

    found = trainer.validate()["validation_bits_per_byte"][name]

    assert [len(part) for part, _ in batches] == [4, 1]
    assert found == pytest.approx(np.mean(rows) / np.log(2), abs=1e-4)
    unweighted = (np.mean(rows[:4]) + rows[4]) / 2 / np.log(2)
    assert abs(found - unweighted) > 1e-3


def test_a_gpu_that_is_not_there_is_one_clear_line(
    tmp_path: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(MissingDependencyError, match="found no CUDA device"):
        train(config, tmp_path / "run", "cuda")


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_large_blocks_are_kept_from_step_to_step() -> None:
    code = (
        "import resource, torch\n"
        "from lmcompress.training.processes import keep_large_blocks\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    blocks = [torch.ones(n << 20) for n in (16, 24, 32)]\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "before = min(faults() for _ in range(5))\n"
        "keep_large_blocks()\n"
        "print(before, min(faults() for _ in range(8)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    before, kept = map(int, done.stdout.split())
    if before > 100:  # C libraries that give memory back at once
        assert kept < before / 10
