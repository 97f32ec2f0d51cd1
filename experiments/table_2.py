"""The paper's Table 2: do larger vocabularies help? Tokenizers against model sizes.

    python -m experiments.table_2 [--quick] [--bytes N] [--runs DIR] [--derive]

Bytes and BPE of several sizes, trained on the same text; for each, GPTs of several widths that see
the same number of raw bytes, drawn from that text, with one optimizer. The figure of merit is bits
per byte of held-out raw text. Rows are **scored**, no files: float32 code lengths of pieces of one
context, alone. Contexts are as many tokens for every vocabulary, hence more bytes for larger ones,
as in the paper. A finished row is not trained again; a training that was killed resumes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.support import modalities, paper
from experiments.support.figures import BLUE, GREEN, ORANGE, new_figure, write_derived
from experiments.support.records import Row, provenance, result_folder
from experiments.support.runs import RUNS
from experiments.support.tables import markdown_of
from experiments.support.token_training import (
    BYTES,
    Tokenizer,
    TokenTrainer,
    score_bits_per_byte,
    whole_characters,
)
from lmcompress import corpora
from lmcompress.benchmark.records import csv_text
from lmcompress.gpt.config import GPTConfig
from lmcompress.training.config import TrainConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "table_2"
TEXT = "enwik/enwiki-2021-extract.part0@0+4000000"
VOCABULARIES = (BYTES, 1000, 2000, 5000, 10_000, 20_000)
WIDTHS = (32, 64)
TOTAL_BYTES = 500_000
HELD_OUT_BYTES = 16_384
TEST_BYTES = 65_536
QUICK_VOCABULARIES, QUICK_WIDTHS, QUICK_BYTES = (BYTES, 1000), WIDTHS[:1], 32_768
KEY = (
    "vocab_size",
    "width",
    "raw_bytes_seen",
    "tokenizer_sha256",
    "recipe_sha256",
    "corpus_sha256",
)
COLORS = (ORANGE, BLUE, GREEN)


def model_config(vocab_size: int, width: int) -> GPTConfig:
    """Returns a GPT of the ladder's shape, with a context of 512 tokens."""
    return GPTConfig(
        vocab_size=vocab_size, n_layer=4, n_head=width // 16, n_embd=width, context_length=512,
        norm="layernorm", activation="gelu",
    )  # fmt: skip


def train_config(vocab_size: int, width: int, num_tokens: int) -> TrainConfig:
    """Returns a configuration; only vocabulary, width and number of steps differ."""
    return TrainConfig(
        name=f"v{vocab_size}-d{width}-t{num_tokens}", model=model_config(vocab_size, width),
        sources={TEXT: 1.0}, total_bytes=num_tokens, batch_size=2, sequence_length=512,
        optimizer="muon", learning_rate=3e-3, muon_learning_rate=3e-3, warmup_steps=20,
        eval_interval=10**9, precision="float32",
    )  # fmt: skip


def measure(
    file: paper.RowFile, runs: Path, vocabularies: Sequence[int], widths: Sequence[int], total: int
) -> None:
    """Trains and scores what is not there yet; `total` is the raw bytes that each model sees."""
    text = corpora.load(TEXT)
    training = whole_characters(text[:-HELD_OUT_BYTES])
    held_out = whole_characters(text[-HELD_OUT_BYTES:])
    sample = modalities.sample(modalities.EXTRACT, TEST_BYTES)
    for vocab_size in vocabularies:
        tokenizer = Tokenizer(vocab_size, training)
        tokens = tokenizer.encode(training)
        for width in widths:
            num_tokens = round(total * len(tokens) / len(training))
            config = train_config(vocab_size, width, num_tokens)
            head = {
                "vocab_size": vocab_size,
                "width": width,
                "raw_bytes_seen": total,
                "tokenizer_sha256": tokenizer.sha256,
                "recipe_sha256": hashlib.sha256(json.dumps(config.to_dict()).encode()).hexdigest(),
                "corpus_sha256": sample.sha256,
            }
            if not file.has(**head):
                trainer = TokenTrainer(
                    config,
                    runs / NAME / f"{config.name}-{tokenizer.sha256[:8]}",
                    tokens,
                    tokenizer.encode(held_out),
                    len(held_out),
                )
                row = head | trained_row(trainer, tokenizer, sample)
                file.append(row | provenance(NAME))
                click.echo(f"{tokenizer.name} d{width} {row['bits_per_byte']:.3f}", err=True)


def trained_row(trainer: TokenTrainer, tokenizer: Tokenizer, sample: modalities.Sample) -> Row:
    """Returns the row of one vocabulary and width."""
    start = time.process_time()
    figures = trainer.run()
    raw = whole_characters(sample.raw)
    test = tokenizer.encode(raw)
    bits = score_bits_per_byte(trainer.network, test, len(raw))
    config = trainer.config
    parts = config.model.num_parameters_by_part
    return {
        "tokenizer": tokenizer.name,
        "num_parameters": config.model.num_parameters,
        "block_parameters": parts["attention"] + parts["mlp"],
        "num_steps": config.num_steps(),
        "tokens_seen": config.num_steps() * config.batch_size * config.sequence_length,
        "training_cpu_seconds": round(time.process_time() - start, 1),
        "trained_on": TEXT,
        "corpus": sample.name,
        "raw_bytes": len(raw),
        "bytes_per_token": len(raw) / len(test),
        "held_out_bits_per_byte": figures["validation_bits_per_byte"]["mean"],
        "bits_per_byte": bits,
        "kind": "scored, float32",
    }


def current(rows: Sequence[Row]) -> list[Row]:
    """Returns the last row of each vocabulary and width, of the budget that was measured last."""
    shown = {
        (row["width"], row["vocab_size"]): row
        for row in rows
        if row["raw_bytes_seen"] == rows[-1]["raw_bytes_seen"]
    }
    return [shown[key] for key in sorted(shown)]


def lines_of(rows: Sequence[Row]) -> Iterator[tuple[int, list[Row]]]:
    """Yields the rows of each width."""
    for width, found in itertools.groupby(current(rows), key=lambda row: row["width"]):
        yield int(width), list(found)


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    shown = current(rows)
    lines = []
    for width, found in lines_of(rows):
        best = min(row["bits_per_byte"] for row in found)
        for row in found:
            bits = f"{row['bits_per_byte']:.3f}"
            lines.append(
                {
                    "tokenizer": row["tokenizer"],
                    "width": width,
                    "parameters of the blocks": f"{row['block_parameters']:,}",
                    "all parameters": f"{row['num_parameters']:,}",
                    "bytes per token": f"{row['bytes_per_token']:.2f}",
                    "steps": f"{row['num_steps']:,}",
                    "bits per byte": f"**{bits}**" if row["bits_per_byte"] == best else bits,
                    "rate, %": f"{100 * row['bits_per_byte'] / 8:.1f}",
                }
            )
    note = (
        f"Bits per byte of {shown[0]['raw_bytes']:,} raw bytes of {shown[0]['corpus']}; **scored** "
        "(float32), no files; the best of each width in bold. Every model saw "
        f"{shown[0]['raw_bytes_seen']:,} bytes of {shown[0]['trained_on']}, on all of which but "
        f"its last {HELD_OUT_BYTES:,} the tokenizers were trained. A larger vocabulary means fewer "
        "steps, and more parameters outside the blocks: embeddings and output. Published (Delétang "
        "et al., 2024, Table 2, enwik9, 38M parameters): ASCII 6.4 %, BPE 20K 9.0 %."
    )
    return {"summary.csv": csv_text(shown), "table.md": markdown_of(lines, note)}


def draw(rows: Sequence[Row]) -> Figure:
    """Returns bits per byte against the vocabulary's size, a line for each width."""
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    for (width, found), color in zip(lines_of(rows), COLORS, strict=False):
        label = f"width {width}: {found[0]['block_parameters'] / 1000:.0f}K parameters in blocks"
        sizes = [row["vocab_size"] for row in found]
        bits = [row["bits_per_byte"] for row in found]
        axes.plot(sizes, bits, "o-", color=color, label=label)
    axes.set_xscale("log", base=2)
    names = {row["vocab_size"]: row["tokenizer"].removeprefix("BPE ") for row in current(rows)}
    axes.set_xticks(list(names), list(names.values()))
    axes.minorticks_off()
    axes.set(xlabel="vocabulary", ylabel="bits per byte of held-out text, scored")
    axes.set_ylim(0, 1.08 * max(row["bits_per_byte"] for row in current(rows)))
    axes.legend(frameon=False)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="Two vocabularies, 32 steps, into results/quick.")
@click.option("--bytes", "num_bytes", type=click.IntRange(min=1), help="Raw bytes to train on.")
@click.option("--runs", type=Path, default=RUNS, help="Folder of the trained runs.")
@click.option("--derive", is_flag=True, help="Train nothing: only rebuild table and figure.")
def main(quick: bool, num_bytes: int | None, runs: Path, derive: bool) -> None:
    """Compares tokenizers by bits per byte of the raw text."""
    with result_folder(NAME, quick, derive=derive) as folder:
        file = paper.RowFile(folder / "records.jsonl", KEY)
        if not derive:
            vocabularies = QUICK_VOCABULARIES if quick else VOCABULARIES
            widths = QUICK_WIDTHS if quick else WIDTHS
            total = num_bytes or (QUICK_BYTES if quick else TOTAL_BYTES)
            measure(file, runs / "quick" if quick else runs, vocabularies, widths, total)
        write_derived(folder, derived_texts(file.rows), {"by-vocabulary": lambda: draw(file.rows)})


if __name__ == "__main__":
    main()
