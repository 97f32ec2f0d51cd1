"""The ladder's table: what each model took to train, and how it performs.

    python -m experiments.ladder_table [--quick] [--runs DIR] [--model NAME]... [--derive]

Bits per byte are scores of chunks that are read alone, by the float32 network that training wrote
and by its exact int8 form: of the text held out of the training files, and of two test samples.
Speeds are bytes per second of CPU time, on one thread, for a file of 16 chunks that was
decompressed and compared; wall-clock time would measure what else the machine did. A model whose
float weights are not installed has no float figures. A row that records.jsonl already has is not
measured again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from experiments.exactness_cost import float_bits_per_byte
from experiments.support import modalities, paper
from experiments.support.records import Row, RowFile, provenance, result_folder
from experiments.support.runs import (
    RUNS,
    held_out,
    is_finished,
    train_config,
    training_seconds,
)
from experiments.support.tables import markdown_of, write_texts
from experiments.support.timing import round_trip
from experiments.table_1 import TEXTS
from lmcompress.benchmark.records import csv_text
from lmcompress.errors import LmcompressError
from lmcompress.models.checkpoint import load_network
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model

NAME = "ladder_table"
SPEED_BYTES = 16 * modalities.CHUNK_BYTES
QUICK_BYTES = 2 * modalities.CHUNK_BYTES


def speeds(model: Model, raw: bytes) -> dict[str, float]:
    """Returns bytes per second of CPU time, both ways, on one thread.

    Raises:
      LmcompressError: If the file does not decompress to the same bytes.
    """
    codec = paper.ChunkedModelCodec(model, len(raw), threads=1)
    round_trip(raw[: modalities.CHUNK_BYTES], model, codec.config)  # compiles
    found = round_trip(raw, model, codec.config, time.process_time)
    return {
        "encode_bytes_per_cpu_second": round(len(raw) / found.compress_seconds),
        "decode_bytes_per_cpu_second": round(len(raw) / found.decompress_seconds),
    }


def run_of_model(model: Model, runs: Path) -> Path | None:
    """Returns the folder of the finished run that the model comes from, if it exists."""
    run = runs / model.name
    if not is_finished(run):
        return None
    if load_model(run).fingerprint != model.fingerprint:
        click.echo(f"{run} holds another {model.name} than is asked for: passed over", err=True)
        return None
    return run


def scores(model: Model, run: Path | None, raw: bytes) -> dict[str, float | None]:
    """Returns the bits per byte of chunks, exact and, if the run exists, in float32."""
    exact = float(paper.chunk_bits(raw, model).sum() / len(raw))
    floats = float_bits_per_byte(load_network(run), raw, modalities.CHUNK_BYTES) if run else None
    return {"exact": round(exact, 4), "float": None if floats is None else round(floats, 4)}


def measure_row(
    model: Model, run: Path | None, identity: Row, samples: Sequence[modalities.Sample]
) -> Row:
    """Returns the row of a model."""
    row = identity | {
        "num_parameters": model.num_parameters,
        "model_bytes": model.model_bytes,
        "bytes_seen": model.card["bytes_seen"],
        "training_seconds": round(training_seconds(run / "log.jsonl")) if run else None,
        "card_validation_bits_per_byte": model.card["validation_bits_per_byte"]["mean"],
        "corpora": [sample.name for sample in samples],
        "corpora_sha256": [sample.sha256 for sample in samples],
    }
    scored = {sample.modality: scores(model, run, sample.raw) for sample in samples}
    if identity["validation_bytes"]:
        text = held_out(train_config(model.name))[: identity["validation_bytes"]]
        scored["validation"] = scores(model, run, text)
    flat = {f"{where}_{kind}_bits_per_byte": bits for where, found in scored.items()
            for kind, bits in found.items()}  # fmt: skip
    return row | flat | speeds(model, samples[0].raw[:SPEED_BYTES])


def measure(file: RowFile, models: Sequence[Model], runs: Path, *, quick: bool) -> None:
    """Appends the rows that are missing."""
    size = QUICK_BYTES if quick else paper.DEFAULT_BYTES
    samples = [modalities.sample(modality, size) for modality in TEXTS]
    for model in models:
        if not {"bytes_seen", "validation_bits_per_byte"} <= model.card.keys():
            raise LmcompressError(f"{model.name} is of no finished training of ours: leave it out")
        # The default was validated on other text, in shorter sequences: see its card.
        is_ladder = model.name in paper.LADDER
        text = held_out(train_config(model.name)) if is_ladder else b""
        identity: dict[str, Any] = {
            "model": model.name,
            "fingerprint": model.fingerprint.hex(),
            "validation_bytes": min(len(text), QUICK_BYTES) if quick else len(text),
            "test_bytes": size,
        }
        done = file.matching(identity)
        run = run_of_model(model, runs)
        lacks_floats = run is not None and not any(map(_has_floats, done))
        if not done or lacks_floats:
            file.append(measure_row(model, run, identity, samples) | provenance(NAME))
            click.echo(f"{model.name}: measured", err=True)


def _has_floats(row: Row) -> bool:
    return row["text_float_bits_per_byte"] is not None


def current(rows: Sequence[Row]) -> list[Row]:
    """Returns the last row of each model, the ladder by size, then the default."""
    found = {row["model"]: row for row in rows}
    return sorted(
        found.values(),
        key=lambda row: (row["model"] == DEFAULT_MODEL, row["num_parameters"]),
    )


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    shown = current(rows)
    note = (
        "Bits per byte of chunks of 2,048 bytes, float32 network / its exact int8 form (scores, no "
        "files). validation: text held out of the training files; the default model's is on "
        "other text and on its card. Test samples: "
        f"{', '.join(shown[0]['corpora'])}, {shown[0]['test_bytes']:,} bytes each. Speed: kB of "
        "text per second of CPU time, on one thread, while other work shared the caches; compare "
        "speeds on one machine only. Training time is from the log of a machine that did other "
        "work too, so it is not a property of the model."
    )
    return {
        "summary.csv": csv_text(shown),
        "table.md": markdown_of([_line(row) for row in shown], note),
    }


def _line(row: Row) -> Row:
    minutes = row["training_seconds"] and f"{row['training_seconds'] / 60:.0f} min"
    return {
        "model": row["model"],
        "parameters": f"{row['num_parameters']:,}",
        "model bytes": f"{row['model_bytes']:,}",
        "bytes seen": f"{row['bytes_seen']:,}",
        "training": minutes,
        "validation": _pair(row, "validation"),
        "test: extract": _pair(row, modalities.EXTRACT),
        "test: text": _pair(row, "text"),
        "encode, kB/s": f"{row['encode_bytes_per_cpu_second'] / 1000:.1f}",
        "decode, kB/s": f"{row['decode_bytes_per_cpu_second'] / 1000:.1f}",
        "machine": row["machine"].removeprefix("x86_64, "),
    }


def _pair(row: Row, where: str) -> str | None:
    pair = [row.get(f"{where}_{kind}_bits_per_byte") for kind in ("float", "exact")]
    if pair == [None, None]:
        return None
    return " / ".join("–" if bits is None else f"{bits:.3f}" for bits in pair)  # noqa: RUF001


@click.command()
@click.option("--quick", is_flag=True, help="Two models, 4 kB of each text, into results/quick.")
@click.option("--runs", type=Path, default=RUNS, help="Folder of the trained runs.")
@click.option("--model", "models", multiple=True, help="Name or folder; default: all.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild the table.")
def main(quick: bool, runs: Path, models: tuple[str, ...], derive: bool) -> None:
    """Describes the ladder's models."""
    with result_folder(NAME, quick, derive=derive) as folder:
        file = RowFile(folder / "records.jsonl")
        if not derive:
            chosen = paper.chosen_models(models, quick)
            measure(file, chosen, runs, quick=quick)
        write_texts(derived_texts(file.rows), folder)


if __name__ == "__main__":
    main()
