"""What are the weights of a published model worth, and what does exact arithmetic cost them?

    python -m experiments.pretrained [--quick] [--part files|exactness|windows|characters]

The model is SmolLM2-135M, as `lmcompress fetch smollm2-135m` installs it. It was trained on far
more text than the project's own models, and perhaps on some of these files. There are four parts:

  files: real files, decoded and compared, with the project's models, zpaq and xz;
  exactness: code lengths of the float32 network (of the published weights, before they were
    quantized) and of its exact forms without the adaptive stage, over the same windows of the
    same tokens;
  windows: code lengths without the adaptive stage against window and overlap, in one lane;
  characters: bits per character of the float32 network, in windows of 1,900 tokens of which the
    last 512 count, as in Huang et al., "Compression Represents Intelligence Linearly" (2024).

A row that records.jsonl already has is not measured again. Published figures have a table of their
own.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import click

from experiments.support.code_lengths import (
    exact_bits,
    float_bits,
    published_network,
    symbols_of,
    windows,
)
from experiments.support.codec_rows import measure
from experiments.support.records import Row, append_missing, current, result_folder, without_source
from experiments.support.tables import markdown_of, write_texts
from lmcompress.benchmark.float_scoring import scored_windows
from lmcompress.benchmark.harness import ModelCodec, classical_codecs
from lmcompress.benchmark.records import Record, latest, read_jsonl, read_rows
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.predictor import ContextPolicy
from lmcompress.metrics import adjusted_compression_rate, bits_per_byte, raw_compression_rate
from lmcompress.models import fetching
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model
from lmcompress.report.tables import rate_table, speed_table

NAME = "pretrained"
MODEL = "smollm2-135m"
LADDER_MODEL = "ladder-800k"
SLICES = (
    "canterbury/alice29.txt@40000+16384",
    "calgary/book1@300000+16384",
    "enwik/enwik8.head-4150000@3000000+16384",
    "code/python-3.11.7-stdlib.py.txt@0+16384",
    "logs/Apache_2k.log@0+16384",
    "i18n/udhr-fra.txt",
    "i18n/udhr-rus.txt@0+8192",
    "i18n/udhr-cmn_hans.txt@0+8190",
)
WHOLE = "canterbury/alice29.txt"
QUICK = "canterbury/alice29.txt@40000+1024"
EXACTNESS = ("canterbury/alice29.txt@40000+16384", "enwik/enwik8.head-4150000@3000000+16384")
WINDOWS = "canterbury/alice29.txt@40000+32768"
CHARACTERS = (*SLICES[:4], "i18n/udhr-fra.txt", "i18n/udhr-rus.txt")
CHARACTER_WINDOW, CHARACTER_STRIDE = 1900, 512
PUBLISHED_TEXTS = Path(__file__).with_name("published_texts.tsv")
POLICIES = ((512, 128), (1024, 256), (2048, 0), (2048, 512), (2048, 1024))
ACTIVATION_BITS = (8, 12)
PARTS = ("files", "exactness", "windows", "characters")


@click.command()
@click.option("--quick", is_flag=True, help="A thousand bytes, into results/quick.")
@click.option("--part", type=click.Choice(PARTS), help="One part only.")
@click.option("--corpus", "chosen", multiple=True, help="Of the files, only this; repeatable.")
def main(quick: bool, part: str | None, chosen: tuple[str, ...]) -> None:
    """Measures a published model: files, exactness, windows, bits per character."""
    names: tuple[str, ...]
    with result_folder(NAME, quick) as folder:
        model = fetching.fetch_model(MODEL)
        if part in (None, "files"):
            measure_files(model, folder, chosen, quick=quick)
        if part in (None, "exactness"):
            names = (QUICK,) if quick else EXACTNESS
            rows = {name: functools.partial(exactness_row, model, name) for name in names}
            append_missing(folder / "exactness.jsonl", NAME, model, rows)
        if part in (None, "windows"):
            name, policies = (QUICK, ((256, 64),)) if quick else (WINDOWS, POLICIES)
            rows = {
                f"{name}, window {window}, overlap {overlap}": functools.partial(
                    window_row, model, name, window, overlap
                )
                for window, overlap in policies
            }
            append_missing(folder / "windows.jsonl", NAME, model, rows)
        if part in (None, "characters"):
            names = (QUICK,) if quick else CHARACTERS
            rows = {name: functools.partial(character_row, model, name) for name in names}
            append_missing(folder / "characters.jsonl", NAME, model, rows)
        write_texts({"table.md": table(folder)}, folder)


def measure_files(model: Model, folder: Path, chosen: Sequence[str], *, quick: bool) -> None:
    """Compresses and decompresses files with all codecs; what takes longest comes last."""
    path = folder / "records.jsonl"
    ours = [ModelCodec(load_model(name)) for name in (DEFAULT_MODEL, LADDER_MODEL)]
    rivals = [*ours, *classical_codecs(["zpaq-5", "xz-9e"])]
    automatic, one_lane = ModelCodec(model), ModelCodec(model, CodecConfig(lanes=1))
    if quick:
        measure(NAME, [QUICK], [automatic, *rivals], path)
        return
    names = chosen or (*SLICES, WHOLE)
    measure(NAME, names, [*rivals, automatic], path)
    measure(NAME, [name for name in names if name != WHOLE], [one_lane], path)


def exactness_row(model: Model, name: str) -> Row:
    """Returns code lengths of the float32 network and of exact forms, in bits per byte."""
    assert model.weights is not None
    raw, symbols = symbols_of(model, name)
    policy = ContextPolicy.of(model.weights)
    spelled, every = float_bits(
        published_network(MODEL), symbols, windows(len(symbols), policy), model.weights
    )
    row = {
        "raw_bytes": len(raw),
        "num_tokens": len(symbols),
        "window": policy.window,
        "overlap": policy.overlap,
        "float32_bits_per_byte": spelled / len(raw),
        "float32_all_tokens_bits_per_byte": every / len(raw),
    }
    for bits in ACTIVATION_BITS:
        config = dataclasses.replace(model.weights.config, activation_bits=bits)
        weights = dataclasses.replace(model.weights, config=config)
        other = dataclasses.replace(model, weights=weights)
        row[f"exact_{bits}_bits_per_byte"] = exact_bits(other, symbols, policy) / len(raw)
    return row


def window_row(model: Model, name: str, window: int, overlap: int) -> Row:
    """Returns the code length of a corpus in windows of so many tokens, which overlap."""
    assert model.weights is not None
    raw, symbols = symbols_of(model, name)
    bits = exact_bits(model, symbols, ContextPolicy(window, overlap))
    return {
        "raw_bytes": len(raw),
        "num_tokens": len(symbols),
        "window": window,
        "overlap": overlap,
        "bits_per_byte": bits / len(raw),
        "tokens_evaluated_per_token": window / (window - overlap),
    }


def character_row(model: Model, name: str) -> Row:
    """Returns the float32 network's code length of a text, per character and per byte."""
    assert model.weights is not None
    assert model.tokens is not None
    raw, symbols = symbols_of(model, name)
    if (symbols >= model.tokens.escape).any():
        raise click.ClickException(f"{name} has bytes that no token of {MODEL} spells")
    where = scored_windows(len(symbols), CHARACTER_WINDOW, CHARACTER_STRIDE)
    _, bits = float_bits(published_network(MODEL), symbols, where, model.weights)
    characters = len(raw.decode())
    return {
        "raw_bytes": len(raw),
        "characters": characters,
        "num_tokens": len(symbols),
        "bits_per_character": bits / characters,
        "bits_per_byte": bits / len(raw),
    }


def without_parts(records: Sequence[Record]) -> list[Record]:
    """Returns the records but for slices of files of which there is the whole."""
    names = {record.corpus for record in records}
    return [r for r in records if "@" not in r.corpus or r.corpus.partition("@")[0] not in names]


def adjusted_rows(records: Sequence[Record]) -> list[Row]:
    """Returns rates over all files, raw and with the model counted, of codecs that have all."""
    names = {record.corpus for record in records}
    rows = []
    for codec in dict.fromkeys(record.codec for record in records):
        mine = [record for record in records if record.codec == codec]
        if {record.corpus for record in mine} != names:
            continue
        raw = sum(record.raw_bytes for record in mine)
        compressed = sum(record.compressed_bytes or 0 for record in mine)
        model_bytes = mine[0].model_bytes or 0
        rates = (
            raw_compression_rate(compressed, raw),
            adjusted_compression_rate(compressed, model_bytes, raw),
        )
        rows.append(
            {
                "codec": codec,
                "model bytes": f"{model_bytes:,}",
                "bits per byte": f"{bits_per_byte(compressed, raw):.3f}",
                "raw rate": f"{rates[0]:.1%}",
                "adjusted rate": f"{rates[1]:,.1%}",
            }
        )
    return sorted(rows, key=lambda row: float(row["bits per byte"]))


def published_rows(path: Path = PUBLISHED_TEXTS) -> list[Row]:
    """Returns what others state."""
    lines = (line for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))
    rows = csv.DictReader(lines, delimiter="\t")
    return [{name.replace("_", " "): value for name, value in row.items()} for row in rows]


def table(folder: Path) -> str:
    """Returns what the records say, as markdown."""
    parts = []
    if (folder / "records.jsonl").exists():
        records = without_parts(latest(read_jsonl(folder / "records.jsonl")))
        parts.append("Files, decompressed and compared.\n\n" + rate_table(records))
        parts.append(markdown_of(adjusted_rows(records), _ADJUSTED))
        parts.append("Speed, on a machine that did other work too.\n\n" + speed_table(records))
    for name, note in _NOTES.items():
        if (folder / f"{name}.jsonl").exists():
            rows = current(read_rows(folder / f"{name}.jsonl"))
            parts.append(markdown_of([_shown(row) for row in rows], note))
    parts.append(markdown_of(published_rows(), _PUBLISHED))
    return "\n".join(part.strip() + "\n" for part in parts)


_ADJUSTED = "All files together; adjusted: the model's stored bytes counted as if sent along."
_NOTES = {
    "exactness": "Code lengths over the same windows in one lane; no files.",
    "windows": "Code lengths in one lane against window and overlap; no files.",
    "characters": (
        f"Float32 code lengths, windows of {CHARACTER_WINDOW:,} tokens, stride {CHARACTER_STRIDE}, "
        "as Huang et al. (2024) have them; no files. The first tokens of a text have the shortest "
        "context, and these texts are short."
    ),
}
_PUBLISHED = "Published, whole files: what others state; none of it was measured here."


def _shown(row: Row) -> Row:
    shown = without_source(row)
    if "exact_12_bits_per_byte" in row:
        cost = row["exact_12_bits_per_byte"] / row["float32_bits_per_byte"] - 1
        shown["cost of 12 bits"] = f"{100 * cost:+.2f} %"
    return {
        name.replace("_", " "): f"{value:.4f}" if isinstance(value, float) else value
        for name, value in shown.items()
    }


if __name__ == "__main__":
    main()
