"""What did the changes from GPT-1 to GPT-2 and GPT-3 bring to compression?

    python -m experiments.architectures [--quick] [--runs DIR] [--derive]

The three architectures at one small size, trained on the same text in the same order with the same
optimizer (experiments/configs/arch-gpt*.toml); runs that do not exist yet are trained first. GPT-1
does not train at the learning rate of the others, so GPT-2 is trained at both rates. Held-out text
is scored by the exact network, alone and with the adaptive stage: code lengths, no files. One seed
each: differences of a percent may be chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from experiments.support.figures import BLUE, GREEN, ORANGE, PINK, write_derived
from experiments.support.records import Row, result_folder, write_records
from experiments.support.runs import RUNS, train_config
from experiments.support.variants import draw_curves, measure, texts_of, trained
from lmcompress import corpora
from lmcompress.benchmark.records import read_rows

NAME = "architectures"
CONFIGS = {
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
COLORS = (ORANGE, PINK, BLUE, GREEN)


def table(rows: Sequence[Row]) -> list[Row]:
    """Returns the lines of the table, each compared with the architecture before it."""
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
    return texts_of(rows, table(rows), note)


@click.command()
@click.option("--quick", is_flag=True, help="Ten steps of training each, into results/quick.")
@click.option("--runs", type=Path, default=RUNS, help="Folder of the trained runs.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild table and figure.")
def main(quick: bool, runs: Path, derive: bool) -> None:
    """Trains the architectures of GPT-1, GPT-2 and GPT-3 side by side."""
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            configs = {label: train_config(name) for label, name in CONFIGS.items()}
            found = trained(configs, runs / "quick" if quick else runs, quick=quick)
            text = QUICK_TEXT if quick else TEXT
            raw = corpora.load(text)
            rows = [
                {"architecture": label} | measure(run, configs[label], raw, text)
                for label, run in found.items()
            ]
            write_records(NAME, rows, folder)
        rows = read_rows(folder / "records.jsonl")
        figures = {"curves": lambda: draw_curves(rows, "architecture", COLORS)}
        write_derived(folder, derived_texts(rows), figures)


if __name__ == "__main__":
    main()
