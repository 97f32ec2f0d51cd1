"""The paper's Table 2: do larger vocabularies help? Tokenizers against model sizes.

    python -m experiments.table_2 [--quick] [--bytes N] [--runs DIR] [--derive]

Bytes and BPE of several sizes, trained on the same text; for each, GPTs of several widths that see
the same number of raw bytes of that text, with one optimizer. Each then compresses held-out text,
in one lane, with and without the adaptive stage; files are decompressed and compared. Contexts are
as many tokens for every vocabulary, hence more bytes for larger ones, as in the paper. A finished
row is not measured again; a training that was killed resumes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.support import modalities
from experiments.support.figures import BLUE, GREEN, ORANGE, new_figure, write_derived
from experiments.support.records import Row, RowFile, provenance, result_folder
from experiments.support.runs import RUNS, Run, finished_run, training_seconds
from experiments.support.tables import markdown_of
from experiments.support.timing import round_trip
from lmcompress import CodecConfig
from lmcompress.benchmark.records import csv_text
from lmcompress.gpt.config import GPTConfig
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import load_model
from lmcompress.system.atomic import replace_atomically
from lmcompress.training.config import TrainConfig
from lmcompress.training.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "table_2"
TEXT = "enwik/enwiki-2021-extract.part0@0+4000000"
BYTES = 256
"""The size of the vocabulary that needs no tokenizer."""
VOCABULARIES = (BYTES, 1000, 2000, 5000, 10_000, 20_000)
WIDTHS = (32, 64)
TOTAL_BYTES = 2_000_000
HELD_OUT_BYTES = 16_384
TEST_BYTES = 65_536
QUICK_VOCABULARIES, QUICK_WIDTHS, QUICK_BYTES = (BYTES, 1000), WIDTHS[:1], 32_768
QUICK_TEST_BYTES = 4_096
COLORS = (ORANGE, BLUE, GREEN)


def model_config(vocab_size: int, width: int) -> GPTConfig:
    """Returns a GPT of the ladder's shape, with a context of 512 tokens."""
    return GPTConfig(
        vocab_size=vocab_size, n_layer=4, n_head=width // 16, n_embd=width, context_length=512,
        norm="layernorm", activation="gelu",
    )  # fmt: skip


def train_config(vocab_size: int, width: int, total_bytes: int) -> TrainConfig:
    """Returns a configuration without its tokenizer: only vocabulary, width and bytes differ."""
    return TrainConfig(
        name=f"v{vocab_size}-d{width}-b{total_bytes}", model=model_config(vocab_size, width),
        sources={TEXT: 1.0}, total_bytes=total_bytes, batch_size=2, sequence_length=512,
        holdout_bytes=HELD_OUT_BYTES, optimizer="muon", learning_rate=3e-3,
        muon_learning_rate=3e-3, warmup_steps=20, eval_interval=10**9, precision="float32",
    )  # fmt: skip


def tokenizer_of(config: TrainConfig, folder: Path) -> tuple[str, str]:
    """Trains the tokenizer of a vocabulary; returns its path and its SHA-256, both empty for bytes.

    It depends on the text and on the vocabulary's size, not on the width of the network.
    """
    if config.model.vocab_size == BYTES:
        return "", ""
    found = train_tokenizer(config).encode()
    digest = hashlib.sha256(found).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest[:8]}.tokenizer.json"
    with replace_atomically(path, overwrite=True) as file:
        file.write(found)
    return str(path), digest


def measure(
    file: RowFile,
    runs: Path,
    configs: Sequence[TrainConfig],
    sample: modalities.Sample,
) -> None:
    """Trains the models that are not there yet, and measures each that has no row."""
    tokenizers: dict[int, tuple[str, str]] = {}
    for bare in configs:
        vocab_size = bare.model.vocab_size
        if vocab_size not in tokenizers:
            tokenizers[vocab_size] = tokenizer_of(bare, runs)
        path, tokenizer_sha256 = tokenizers[vocab_size]
        config = dataclasses.replace(bare, tokenizer=path)
        recipe = {key: value for key, value in config.to_dict().items() if key != "tokenizer"}
        head = {
            "vocab_size": vocab_size,
            "width": config.model.n_embd,
            "raw_bytes_seen": config.total_bytes,
            "tokenizer_sha256": tokenizer_sha256,
            "recipe_sha256": hashlib.sha256(json.dumps(recipe).encode()).hexdigest(),
            "corpus_sha256": sample.sha256,
        }
        if not file.matching(head):
            run = finished_run(config, runs / f"{config.name}-{tokenizer_sha256[:8]}")
            row = head | row_of(run, config, sample)
            file.append(row | provenance(NAME))
            click.echo(f"{row['tokenizer']} d{row['width']} {row['bits_per_byte']:.3f}", err=True)


def row_of(run: Run, config: TrainConfig, sample: modalities.Sample) -> Row:
    """Returns the row of one vocabulary and width: what the trained model makes of the sample."""
    model, parts = load_model(run.folder), run.model.num_parameters_by_part
    vocab_size = run.model.vocab_size
    tokens_seen = run.card.get("tokens_seen", run.card["bytes_seen"])
    alone, mixed = (
        round_trip(sample.raw, model, CodecConfig(lanes=1, adaptive=adaptive)).num_bytes
        for adaptive in (False, True)
    )
    return {
        "tokenizer": "bytes" if vocab_size == BYTES else f"BPE {vocab_size:,}",
        "num_parameters": run.model.num_parameters,
        "block_parameters": parts["attention"] + parts["mlp"],
        "num_steps": tokens_seen // (config.batch_size * config.sequence_length),
        "tokens_seen": tokens_seen,
        "training_seconds": training_seconds(run.folder / "log.jsonl"),
        "trained_on": TEXT,
        "fingerprint": model.fingerprint.hex(),
        "corpus": sample.name,
        "raw_bytes": len(sample.raw),
        "bytes_per_token": run.card["bytes_seen"] / tokens_seen,
        "held_out_bits_per_byte": run.validation_bits_per_byte,
        "compressed_bytes": alone,
        "bits_per_byte": bits_per_byte(alone, len(sample.raw)),
        "compressed_bytes_with_stage": mixed,
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
            mixed = bits_per_byte(row["compressed_bytes_with_stage"], row["raw_bytes"])
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
                    "with the adaptive stage": f"{mixed:.3f}",
                }
            )
    note = (
        f"Bits per byte of {shown[0]['raw_bytes']:,} raw bytes of {shown[0]['corpus']}: files of "
        "one lane, decompressed and compared; the best of each width in bold. Every model saw "
        f"{shown[0]['raw_bytes_seen']:,} bytes of {shown[0]['trained_on']}, and tokenizers were "
        "trained on pieces drawn from the same text, together as long as it is. A larger "
        "vocabulary means fewer steps, and more parameters outside the blocks: embeddings and "
        "output. Published (Delétang et al., 2024, Table 2, enwik9, 38M parameters): ASCII 6.4 %, "
        "BPE 20K 9.0 %."
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
    axes.set(xlabel="vocabulary", ylabel="bits per byte of held-out text")
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
        file = RowFile(folder / "records.jsonl")
        if not derive:
            total = num_bytes or (QUICK_BYTES if quick else TOTAL_BYTES)
            configs = [
                train_config(vocab_size, width, total)
                for vocab_size in (QUICK_VOCABULARIES if quick else VOCABULARIES)
                for width in (QUICK_WIDTHS if quick else WIDTHS)
            ]
            test_bytes = QUICK_TEST_BYTES if quick else TEST_BYTES
            sample = modalities.sample(modalities.EXTRACT, test_bytes)
            measure(file, (runs / "quick" if quick else runs) / NAME, configs, sample)
        write_derived(folder, derived_texts(file.rows), {"by-vocabulary": lambda: draw(file.rows)})


if __name__ == "__main__":
    main()
