"""Which network should be the default? Candidates trained side by side, short and small.

    python -m experiments.candidates [--quick] [--runs DIR] [--derive]

Each differs in one thing from the base, experiments/configs/candidate.toml: depth against width,
what attention sees, hashed n-grams, the optimizer, how it is trained. Runs that do not exist yet
are trained first. Bits per byte are code lengths of text held out of every training source, by the
exact network, alone and with the adaptive stage; no files. CPU time is for scoring on one thread,
the least of three rounds in turns. There is one seed each, the learning rates are the base's for
all but AdamW, and a default model reads far more text, so small differences decide nothing.

Distillation needs `lmcompress fetch smollm2-135m`, whose training text may contain what is held out
here. In half the time that it takes, the base reads five times the text, so that is a candidate
too. Quick runs leave both out.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

import lmcompress
from experiments.support.distillation import TEACHER, DistilledTrainer
from experiments.support.figures import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    write_derived,
)
from experiments.support.quantized_training import QuantizedTrainer
from experiments.support.records import Row, result_folder, write_records
from experiments.support.runs import (
    RUNS,
    Run,
    held_out,
    is_finished,
    train_config,
    training_seconds,
)
from experiments.support.timing import cpu_timed
from experiments.support.variants import draw_curves, measure, quick_one, texts_of, trained
from lmcompress import CodecConfig
from lmcompress.benchmark.records import read_rows
from lmcompress.models.store import load_model
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer

NAME = "candidates"
BASE = "candidate"


class Change(NamedTuple):
    """What a candidate changes in the base's configuration."""

    model: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}
    trainer: type[Trainer] = Trainer


CANDIDATES = {
    "base": Change(),
    "deeper, narrower": Change(
        model={
            "n_layer": 8,
            "n_head": 3,
            "n_embd": 96,
            "attention_windows": (64, 64, 128, 128, 256, 256, 512, 512),
        }
    ),
    "shallower, wider": Change(
        model={
            "n_layer": 2,
            "n_head": 6,
            "n_embd": 192,
            "attention_windows": (128, 512),
        }
    ),
    "full attention": Change(model={"attention_windows": ()}),
    "hashed n-grams": Change(model={"ngram_orders": (2, 3, 4, 5), "ngram_bits": 15}),
    "AdamW": Change(training={"optimizer": "adamw", "learning_rate": 1.5e-3}),
    "quantized training": Change(trainer=QuantizedTrainer),
    "distilled": Change(trainer=DistilledTrainer),
    "five times the text": Change(training={"total_bytes": 5_000_000}),
}
ONLY_IN_FULL = ("distilled", "five times the text")
"""Left out of quick runs: the first downloads a model, the second would equal the base."""
_DERIVED: dict[str, Any] = {"n_kv_head": 0, "head_dim": 0, "mlp_hidden": 0}
"""Options of the base's shape that follow from the others: each shape derives its own."""
COLORS = (GREY, BLUE, SKY, ORANGE, GREEN, PINK, VERMILION, BLACK)
EACH_SOURCE = 8192
ROUNDS = 3


def train_configs() -> dict[str, TrainConfig]:
    """Returns the training configuration of each candidate."""
    base = train_config(BASE)
    return {
        label: dataclasses.replace(
            base,
            name="-".join((BASE, *label.lower().replace(",", "").split())),
            model=dataclasses.replace(base.model, **_DERIVED, **change.model),
            **change.training,
        )
        for label, change in CANDIDATES.items()
    }


def cpu_seconds(runs: Mapping[str, Run], raw: bytes) -> dict[str, float]:
    """Returns the CPU seconds that each network takes to score a text, measured in turns."""
    calls = {
        label: functools.partial(
            lmcompress.score, model=load_model(run.folder),
            config=CodecConfig(adaptive=False, threads=1),
        )
        for label, run in runs.items()
    }  # fmt: skip
    found: dict[str, list[float]] = {label: [] for label in calls}
    for call in calls.values():
        call(raw[:1024])  # compiles
    for _ in range(ROUNDS):
        for label, call in calls.items():
            found[label].append(cpu_timed(call, raw)[0])
    return {label: round(min(seconds), 4) for label, seconds in found.items()}


def table(rows: Sequence[Row]) -> list[Row]:
    """Returns the lines of the table, each compared with the base."""
    base = rows[0]
    return [
        {
            "candidate": row["candidate"],
            "parameters": f"{row['num_parameters']:,}",
            "text read, MB": f"{row['bytes_seen'] / 1e6:.2f}",
            "training, seconds": f"{row['training_seconds']:.0f}",
            "exact, alone": f"{row['quantized_bits_per_byte']:.4f}",
            "with the adaptive stage": f"{row['mixed_bits_per_byte']:.4f}",
            "against the base": _against(row, base, "mixed_bits_per_byte"),
            "CPU microseconds a byte": f"{1e6 * row['cpu_seconds'] / row['raw_bytes']:.1f}",
            "time against the base": _against(row, base, "cpu_seconds"),
        }
        for row in rows
    ]


def _against(row: Row, base: Row, key: str) -> str | None:
    return None if row is base else f"{100 * (row[key] / base[key] - 1):+.1f} %"


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    first = rows[0]
    note = (
        f"Bits per byte (code lengths, no files) of {first['raw_bytes']:,} bytes held out of the "
        "training sources; the first comparison is of the rates with the adaptive stage. One seed "
        "each, the base's learning rates for all but AdamW. SmolLM2-135M, the teacher of the "
        "distilled one, may have been trained on this text. Seconds of training are wall-clock "
        "time on a machine that did other work too, and include compiling and validation. Except "
        "for full attention, networks with as many parameters as the base have the same shape: "
        "differences in their CPU times are noise."
    )
    return texts_of(rows, table(rows), note)


@click.command()
@click.option("--quick", is_flag=True, help="A few steps of training each, into results/quick.")
@click.option("--runs", type=Path, default=RUNS, help="Folder of the trained runs.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild table and figure.")
def main(quick: bool, runs: Path, derive: bool) -> None:
    """Trains candidates for the default model side by side."""
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            configs = train_configs()
            if quick:
                configs = {key: configs[key] for key in configs if key not in ONLY_IN_FULL}
            elif not is_finished(runs / configs["distilled"].name):
                load_model(TEACHER)  # if it is missing, fail now, not after an hour
            folder_of_runs = runs / "quick" if quick else runs
            trainers = {label: CANDIDATES[label].trainer for label in configs}
            found = trained(configs, folder_of_runs, quick=quick, trainers=trainers)
            base = train_config(BASE)
            raw = held_out(quick_one(base) if quick else base, EACH_SOURCE)
            seconds = cpu_seconds(found, raw)
            rows = [
                {"candidate": label}
                | measure(run, configs[label], raw, "held out of the training sources")
                | {
                    "optimizer": configs[label].optimizer,
                    "training_seconds": training_seconds(run.folder / "log.jsonl"),
                    "cpu_seconds": seconds[label],
                    "teacher": run.card.get("teacher", ""),
                    "teacher_fingerprint": run.card.get("teacher_fingerprint", ""),
                }
                for label, run in found.items()
            ]
            write_records(NAME, rows, folder)
        rows = read_rows(folder / "records.jsonl")
        alike = [row for row in rows if row["bytes_seen"] == rows[0]["bytes_seen"]]
        figures = {"curves": lambda: draw_curves(alike, "candidate", COLORS[: len(alike)])}
        write_derived(folder, derived_texts(rows), figures)


if __name__ == "__main__":
    main()
