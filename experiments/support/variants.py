"""Networks trained side by side, on the same text in the same order."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lmcompress
from experiments.support.figures import new_figure
from experiments.support.records import Row
from experiments.support.runs import Run, finished_run
from experiments.support.tables import markdown_of
from lmcompress import CodecConfig
from lmcompress.benchmark.records import csv_text
from lmcompress.models.store import load_model
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUICK_BYTES = 40_960


def trained(
    configs: Mapping[str, TrainConfig],
    folder: Path,
    *,
    quick: bool,
    trainers: Mapping[str, type[Trainer]] | None = None,
) -> dict[str, Run]:
    """Returns the finished runs by label, trained if need be; quick ones take a few steps."""
    if quick:
        configs = {label: quick_one(config) for label, config in configs.items()}
    trainers = trainers or {}
    return {
        label: finished_run(config, folder / config.name, trainers.get(label, Trainer))
        for label, config in configs.items()
    }


def quick_one(config: TrainConfig) -> TrainConfig:
    """Returns a configuration cut down to a few steps, not compiled."""
    first = next(iter(config.sources))
    return dataclasses.replace(
        config, total_bytes=QUICK_BYTES, log_interval=2, warmup_steps=2, compile=False,
        sources={first: 1.0}, holdout_bytes=2048,
    )  # fmt: skip


def measure(run: Run, config: TrainConfig, raw: bytes, name: str) -> Row:
    """Returns the record of a run: its curve and the code lengths of held-out text."""
    model = load_model(run.folder)
    alone = lmcompress.score(raw, model, CodecConfig(adaptive=False))
    mixed = lmcompress.score(raw, model, CodecConfig())
    return {
        "config": run.model.to_dict(),
        "learning_rate": config.learning_rate,
        "num_parameters": run.model.num_parameters,
        "bytes_seen": run.card["bytes_seen"],
        "fingerprint": model.fingerprint.hex(),
        "corpus": name,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "raw_bytes": len(raw),
        "validation_bits_per_byte": run.validation_bits_per_byte,
        "ideal_bits_per_byte": alone.ideal_bits_per_byte,
        "quantized_bits_per_byte": alone.quantized_bits_per_byte,
        "mixed_bits_per_byte": mixed.quantized_bits_per_byte,
        "training_curve": run.training,
    }


def texts_of(rows: Sequence[Row], lines: Sequence[Row], note: str) -> dict[str, str]:
    """Returns summary.csv of the records, and table.md of lines made from them."""
    nested = ("config", "training_curve")
    flat = [{key: row[key] for key in row if key not in nested} for row in rows]
    return {"summary.csv": csv_text(flat), "table.md": markdown_of(lines, note)}


def draw_curves(rows: Sequence[Row], name: str, colors: Sequence[str]) -> Figure:
    """Returns the training curves of the records, each labeled with its field `name`."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    for place, (row, color) in enumerate(zip(rows, colors, strict=True)):
        seen, bits = zip(*row["training_curve"], strict=True)
        label = f"{row[name]}: {row['quantized_bits_per_byte']:.3f} on held-out text"
        width = 1.2 + 0.25 * (len(rows) - 1 - place)  # one below another shows on both sides
        axes.plot([s / 1e6 for s in seen], bits, "o-", ms=3, lw=width, label=label, color=color)
    axes.set(xlabel="training text seen, MB", ylabel="bits per byte of text not seen before")
    axes.legend(frameon=False)
    return figure
