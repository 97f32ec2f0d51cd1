"""What did GPT-2's and GPT-3's changes to the architecture bring to compression?

    python -m experiments.architectures [--quick] [--runs DIR] [--derive]

The three architectures at one small size, trained on the same text in the same order under the same
optimiser (experiments/configs/arch-gpt*.toml); what is not trained yet is trained first. GPT-1's
does not train at the learning rate of the others, so GPT-2's is trained at both. Held-out text is
scored by the exact network, alone and with the adaptive stage: code lengths, no files. One seed
each: differences of a percent may be chance.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import click

import lmcompress
from experiments.common import folder_of, write_records
from experiments.outputs import (
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    Row,
    csv_of,
    markdown_of,
    new_figure,
    save_figure,
    write_texts,
)
from experiments.runs import RUNS, Run, finished_run, recipe
from lmcompress import CodecConfig, corpora
from lmcompress.model_store import load_model
from lmcompress.records import read_rows

NAME = "architectures"
RECIPES = {
    "GPT-1": "arch-gpt1",
    "GPT-2 at GPT-1's rate": "arch-gpt2-slow",
    "GPT-2": "arch-gpt2",
    "GPT-3": "arch-gpt3",
}
CHANGE = {
    "GPT-1": "norms after the sum",
    "GPT-2 at GPT-1's rate": "norms before, one at the end",
    "GPT-2": "the rate that this allows",
    "GPT-3": "every second layer banded",
}
TEXT = "enwik/enwiki-2021-extract.part3@0+100000"
QUICK_TEXT = "enwik/enwiki-2021-extract.part3@0+5000"
QUICK_BYTES = 40_960
COLOURS = dict(zip(RECIPES, (ORANGE, PINK, BLUE, GREEN), strict=True))


def runs_of(folder: Path, *, quick: bool) -> dict[str, Run]:
    """Returns the finished runs, trained if need be; quick ones see ten steps of text."""
    found = {}
    for label, name in RECIPES.items():
        config = recipe(name)
        if quick:
            config = dataclasses.replace(
                config, total_bytes=QUICK_BYTES, log_interval=2, warmup_steps=2, compile=False,
                sources={"enwik/enwiki-2021-extract.part0": 1.0},
                holdout_bytes=2048,
            )  # fmt: skip
        found[label] = finished_run(config, folder / name)
    return found


def measure(label: str, run: Run, text: str) -> Row:
    """Returns the record of one architecture: its curve and the code lengths of held-out text."""
    raw = corpora.load(text)
    model = load_model(run.folder)
    alone = lmcompress.score(raw, model, CodecConfig(adaptive=False))
    mixed = lmcompress.score(raw, model, CodecConfig())
    return {
        "architecture": label,
        "config": run.model.to_dict(),
        "learning_rate": recipe(RECIPES[label]).learning_rate,
        "num_parameters": run.model.num_parameters,
        "bytes_seen": run.card["bytes_seen"],
        "fingerprint": model.fingerprint.hex(),
        "corpus": text,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "raw_bytes": len(raw),
        "validation_bits_per_byte": run.validation_bits_per_byte,
        "ideal_bits_per_byte": alone.ideal_bits_per_byte,
        "quantized_bits_per_byte": alone.quantized_bits_per_byte,
        "mixed_bits_per_byte": mixed.quantized_bits_per_byte,
        "training_curve": run.training,
    }


def table(rows: Sequence[Row]) -> list[Row]:
    """Returns the table's lines: what each change brought against the architecture before it."""
    lines: list[Row] = []
    before = None
    for row in rows:
        bits = row["quantized_bits_per_byte"]
        lines.append(
            {
                "architecture": row["architecture"],
                "change": CHANGE[row["architecture"]],
                "learning rate": f"{row['learning_rate']:g}",
                "parameters": f"{row['num_parameters']:,}",
                "validation (float)": f"{row['validation_bits_per_byte']:.4f}",
                "exact, alone": f"{bits:.4f}",
                "against the one above": f"{100 * (bits / before - 1):+.2f} %" if before else None,
                "with the adaptive stage": f"{row['mixed_bits_per_byte']:.4f}",
            }
        )
        before = bits
    return lines


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    first = rows[0]
    note = (
        f"Bits per byte (code lengths, no files) after {first['bytes_seen']:,} bytes of training; "
        f"validation on text held out of the training parts, the rest on {first['corpus']}."
    )
    flat = [{k: v for k, v in row.items() if k not in ("config", "training_curve")} for row in rows]
    return {"summary.csv": csv_of(flat), "table.md": markdown_of(table(rows), note)}


def draw(rows: Sequence[Row], folder: Path) -> None:
    """Draws the training curves, each line with its name."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    for row in rows:
        seen, bits = zip(*row["training_curve"], strict=True)
        label = f"{row['architecture']}: {row['quantized_bits_per_byte']:.3f} on held-out text"
        colour = COLOURS[row["architecture"]]
        axes.plot([s / 1e6 for s in seen], bits, label=label, color=colour)
    axes.set(xlabel="training text seen, MB", ylabel="bits per byte of text not seen before")
    axes.legend(frameon=False)
    save_figure(figure, folder, "curves")


@click.command()
@click.option("--quick", is_flag=True, help="Ten steps of training each, into results/quick.")
@click.option("--runs", type=Path, default=RUNS, help="Folder of the trained runs.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild table and figure.")
def main(quick: bool, runs: Path, derive: bool) -> None:
    """Trains GPT-1's, GPT-2's and GPT-3's architecture side by side."""
    folder = folder_of(NAME, quick=quick)
    if not derive:
        trained = runs_of(runs / "quick" if quick else runs, quick=quick)
        text = QUICK_TEXT if quick else TEXT
        rows = [measure(label, run, text) for label, run in trained.items()]
        write_records(NAME, rows, folder)
    rows = read_rows(folder / "records.jsonl")
    write_texts(derived_texts(rows), folder)
    draw(rows, folder)


if __name__ == "__main__":
    main()
