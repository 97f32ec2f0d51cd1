"""The command `train`: trains a model."""

from __future__ import annotations

import logging
from pathlib import Path

import click


@click.command(
    short_help="Train a model.",
    epilog="Example: lmcompress train --config experiments/configs/lmc-3m.toml --out runs/mine",
)
@click.option(
    "--config",
    metavar="FILE.toml",
    required=True,
    help="Model, training text and schedule.",
)
@click.option("--out", metavar="DIR", required=True, help="Folder for the model and its log.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
    help="Where to train; auto uses a GPU if there is one.",
)  # fmt: skip
def train(config: str, out: str, device: str) -> int:
    """Train a model, or continue an interrupted run.

    DIR holds a usable model from the first checkpoint on: pass it to `compress -m`.
    """
    logging.getLogger("lmcompress").setLevel(logging.INFO)
    from lmcompress.training.config import TrainConfig
    from lmcompress.training.trainer import train as run_training

    run_training(TrainConfig.from_toml(Path(config)), Path(out), device)
    return 0
