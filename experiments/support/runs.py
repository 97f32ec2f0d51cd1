"""Training runs for experiments: trained if they are not finished, then read."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import click
import torch

from lmcompress import corpora
from lmcompress.gpt.config import GPTConfig
from lmcompress.models.manifest import read_manifest
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import STATE_FILE, Trainer, check_same_run, train

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "experiments" / "configs"
RUNS = ROOT / "runs"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its network and what its log says."""

    folder: Path
    model: GPTConfig
    card: dict[str, Any]
    training: tuple[tuple[int, float], ...]
    """(bytes seen, bits per byte of the training text since the point before). This text is new to
    the network except for the share that `share_read_before` gives."""

    @property
    def validation_bits_per_byte(self) -> float:
        """Of the finished network, in float arithmetic."""
        return float(self.card["validation_bits_per_byte"]["mean"])


def is_finished(folder: Path) -> bool:
    """Whether a run is finished: only then does the card have a validation figure."""
    if not (folder / "model.json").is_file():
        return False
    return "validation_bits_per_byte" in read_manifest(folder)["card"]


def train_config(name: str) -> TrainConfig:
    """Returns the training configuration in experiments/configs/NAME.toml."""
    return TrainConfig.from_toml(CONFIGS / f"{name}.toml")


def held_out(config: TrainConfig, bytes_each: int | None = None) -> bytes:
    """Returns the text that a run validates on, or the first bytes of each source's part."""
    ends = (corpora.load(source)[-config.holdout_bytes :] for source in config.sources)
    return b"".join(end[:bytes_each] for end in ends)


def share_read_before(config: TrainConfig, bytes_seen: float) -> float:
    """Returns the expected share of what a run draws after so many bytes that it has read before.

    Sequences begin at random places: with n of a source's N bytes drawn, a byte of it is among them
    with a chance of 1 - exp(-n / N).
    """
    total, shares = sum(config.sources.values()), []
    for source, weight in config.sources.items():
        size = corpora.info(source).raw_bytes - config.holdout_bytes
        drawn = bytes_seen * weight / total
        shares.append(weight / total * (1 - math.exp(-drawn / size)))
    return sum(shares)


def finished_run(config: TrainConfig, folder: Path, trainer: type[Trainer] = Trainer) -> Run:
    """Returns a run, after training it (or the rest of it) if it is not finished."""
    if (folder / STATE_FILE).is_file():
        check_same_run(folder / STATE_FILE, config)
    if not is_finished(folder):
        click.echo(f"{config.name}: training {config.total_bytes:,} bytes", err=True)
        # The compiler takes a few shapes of one function in a process, and leaves others slow.
        torch.compiler.reset()
        train(config, folder, trainer=trainer)
    return read_run(folder)


def read_run(folder: Path) -> Run:
    """Returns a finished run from its folder; of a point logged twice, the last counts."""
    manifest = read_manifest(folder)
    training: dict[int, float] = {}
    for line in (folder / "log.jsonl").read_text("utf-8").splitlines():
        point = json.loads(line)
        if "train_bits_per_byte" in point:
            training[point["bytes_seen"]] = point["train_bits_per_byte"]
    return Run(
        folder,
        GPTConfig.from_dict(manifest["config"]),
        manifest["card"],
        tuple(sorted(training.items())),
    )


def training_seconds(log: Path) -> float:
    """Returns the training time in a log, without time that was lost when a run was killed."""
    return float(json.loads(log.read_text("utf-8").splitlines()[-1])["seconds"])
