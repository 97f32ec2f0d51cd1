"""What are the weights of a published model worth, and what does exact arithmetic cost them?

    python -m experiments.pretrained [--quick] [--part files|exactness|windows]

The model is SmolLM2-135M, as `lmcompress fetch smollm2-135m` makes it; it has read far more text
than the project's own models, and may have read some of these files. Three parts:

  files: real files, decoded and compared, beside the default model, zpaq and xz;
  exactness: code lengths of the float32 network (of the published weights, before they were
    quantized) and of its exact forms, over the same windows of the same tokens;
  windows: code lengths against window and overlap, in one lane.

A row that is there already is not measured again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import torch

from experiments.common import RESULTS, folder_of, provenance
from experiments.default_against_classical import measure
from experiments.outputs import markdown_of
from lmcompress import corpora, fetching
from lmcompress.benchmark import ModelCodec, classical_codecs
from lmcompress.codec import CodecConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.pretrained import open_pretrained
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.lanes import token_block_steps
from lmcompress.model_store import DEFAULT_MODEL, Model, load_model
from lmcompress.predictor import ContextPolicy, new_token_predictor, resolve_threads
from lmcompress.published import PUBLISHED
from lmcompress.records import Record, append_rows, latest, read_jsonl, read_rows
from lmcompress.report import rate_table, speed_table
from lmcompress.token_codec import TokenStage, coded_bits, token_blocks
from lmcompress.tokenizing import tokenizer_of
from lmcompress.tokens import Symbols

NAME = "pretrained"
MODEL = "smollm2-135m"
SLICES = (
    "canterbury/alice29.txt@40000+16384",
    "enwik/enwik8.head-4150000@3000000+16384",
    "code/python-3.11.7-stdlib.py.txt@0+16384",
    "logs/Apache_2k.log@0+16384",
    "i18n/udhr-fra.txt",
    "i18n/udhr-rus.txt@0+8192",
)
WHOLE = "canterbury/alice29.txt"
QUICK = "canterbury/alice29.txt@40000+1024"
EXACTNESS = ("canterbury/alice29.txt@40000+16384", "enwik/enwik8.head-4150000@3000000+16384")
WINDOWS = "canterbury/alice29.txt@40000+32768"
POLICIES = ((512, 128), (1024, 256), (2048, 0), (2048, 512), (2048, 1024))
ACTIVATION_BITS = (8, 12)

Row = dict[str, Any]


@click.command()
@click.option("--quick", is_flag=True, help="A thousand bytes, into results/quick.")
@click.option("--part", type=click.Choice(["files", "exactness", "windows"]), help="One part only.")
@click.option("--corpus", "chosen", multiple=True, help="Of the files, only this; repeatable.")
def main(quick: bool, part: str | None, chosen: tuple[str, ...]) -> None:
    """Measures a published model: files, exactness, windows."""
    model = fetching.fetch_model(MODEL)
    folder = folder_of(NAME, quick=quick)
    if part in (None, "files"):
        measure_files(model, folder, chosen, quick=quick)
    if part in (None, "exactness"):
        names = (QUICK,) if quick else EXACTNESS
        append_missing(folder / "exactness.jsonl", names, lambda name: exactness_row(model, name))
    if part in (None, "windows"):
        name, policies = (QUICK, ((256, 64),)) if quick else (WINDOWS, POLICIES)
        append_missing(
            folder / "windows.jsonl",
            [f"{name}, window {window}, overlap {overlap}" for window, overlap in policies],
            lambda setting: window_row(model, name, setting),
        )
    (folder / "table.md").write_text(table(folder), "utf-8", newline="\n")


def measure_files(model: Model, folder: Path, chosen: Sequence[str], *, quick: bool) -> None:
    """Compresses and decompresses files with all codecs; what takes longest comes last."""
    path = folder / "records.jsonl"
    rivals = [ModelCodec(load_model(DEFAULT_MODEL)), *classical_codecs(["zpaq-5", "xz-9e"])]
    automatic, two = ModelCodec(model), ModelCodec(model, CodecConfig(lanes=2))
    if quick:
        measure([QUICK], [automatic, two, *rivals], path, experiment=NAME)
        return
    names = chosen or (*SLICES, WHOLE)
    measure(names, [*rivals, automatic], path, experiment=NAME)
    measure([name for name in names if name != WHOLE], [two], path, experiment=NAME)


def append_missing(path: Path, keys: Sequence[str], row_of: Callable[[str], Row]) -> None:
    """Appends a row for each key that has none, each as soon as it is measured."""
    done = {row["key"] for row in read_rows(path)}
    source = provenance(NAME)
    for key in keys:
        if key in done:
            continue
        row = row_of(key)
        append_rows([{"key": key, **row, **source}], path)
        click.echo(f"{key}: {row}", err=True)


def symbols_of(model: Model, name: str) -> tuple[bytes, Symbols]:
    """Returns a corpus and its tokens."""
    assert model.tokens is not None
    raw = corpora.load(name)
    return raw, tokenizer_of(model.folder, model.tokens).encode(raw)


def exact_bits(weights: ExactWeights, symbols: Symbols, policy: ContextPolicy) -> float:
    """Returns the quantized code length of symbols in one lane."""
    threads = resolve_threads(None)
    block = token_block_steps(1, threads)
    predictor = new_token_predictor(weights, 1, block, policy, "cpu", threads)
    stage, bits = TokenStage(predictor, 1), 0.0
    for tokens, steps in token_blocks(symbols, 1, block, predictor):
        for step, rows in zip(steps, predictor.logits(tokens), strict=True):
            bits += float(coded_bits(stage, step, rows).sum())
    return bits


def exactness_row(model: Model, name: str) -> Row:
    """Returns code lengths of the float32 network and of exact forms, in bits per byte."""
    assert model.weights is not None
    raw, symbols = symbols_of(model, name)
    policy = ContextPolicy.of(model.weights)
    spelled, every = float_bits(published_network(), symbols, policy, model.weights)
    row = {
        "raw_bytes": len(raw),
        "num_tokens": len(symbols),
        "window": policy.window,
        "overlap": policy.overlap,
        "float32_bits_per_byte": spelled / len(raw),
        "float32_all_tokens_bits_per_byte": every / len(raw),
        "fingerprint": model.fingerprint.hex(),
    }
    for bits in ACTIVATION_BITS:
        config = dataclasses.replace(model.weights.config, activation_bits=bits)
        weights = dataclasses.replace(model.weights, config=config)
        row[f"exact_{bits}_bits_per_byte"] = exact_bits(weights, symbols, policy) / len(raw)
    return row


def published_network() -> GPT:
    """Returns the float32 network of the published weights; their file is kept in runs/."""
    cache = RESULTS.parent / "runs" / "published"
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / PUBLISHED[MODEL].file
    if path.exists():
        fetching.check_file(path, PUBLISHED[MODEL], str(path))
    else:
        fetching.published_file(MODEL, cache)
    return open_pretrained(path).network()


@torch.no_grad()
def float_bits(
    network: GPT, symbols: Symbols, policy: ContextPolicy, weights: ExactWeights
) -> tuple[float, float]:
    """Returns the float network's code length of symbols, none of them an escape.

    Once over the tokens that a text spells, as the codec has it, once over all.
    """
    assert weights.tokens is not None
    unspelled = torch.from_numpy(~weights.tokens.is_spelled)
    targets = torch.from_numpy(symbols).long()
    inputs = torch.cat((torch.tensor([weights.config.bos_id]), targets[:-1]))
    spelled = every = 0.0
    for context, start, stop in windows(len(symbols), policy):
        logits = network(inputs[None, context:stop])[0, start - context :]
        for rows, chosen in zip(logits.split(256), targets[start:stop].split(256), strict=True):
            nats = rows.double()
            every -= torch.log_softmax(nats, -1).gather(-1, chosen[:, None]).sum().item()
            nats[:, unspelled] = -torch.inf
            spelled -= torch.log_softmax(nats, -1).gather(-1, chosen[:, None]).sum().item()
    return spelled / math.log(2), every / math.log(2)


def windows(count: int, policy: ContextPolicy) -> Iterator[tuple[int, int, int]]:
    """Yields (where the context begins, first token, end) of each window, as the codec has them."""
    start = context = 0
    while start < count:
        stop = min(count, context + policy.window)
        yield context, start, stop
        start, context = stop, stop - policy.overlap


def window_row(model: Model, name: str, setting: str) -> Row:
    """Returns the code length of a corpus under one policy, which the setting spells."""
    assert model.weights is not None
    window, overlap = (int(part.split()[-1]) for part in setting.split(", ")[1:])
    raw, symbols = symbols_of(model, name)
    bits = exact_bits(model.weights, symbols, ContextPolicy(window, overlap))
    return {
        "raw_bytes": len(raw),
        "num_tokens": len(symbols),
        "window": window,
        "overlap": overlap,
        "bits_per_byte": bits / len(raw),
        "tokens_evaluated_per_token": window / (window - overlap),
        "fingerprint": model.fingerprint.hex(),
    }


def table(folder: Path) -> str:
    """Returns what the records say, as markdown."""
    parts = []
    if (folder / "records.jsonl").exists():
        records: list[Record] = latest(read_jsonl(folder / "records.jsonl"))
        parts.append("Files, decompressed and compared.\n\n" + rate_table(records))
        parts.append("Speed, on a machine that did other work too.\n\n" + speed_table(records))
    for name, note in (
        ("exactness", "Code lengths over the same windows in one lane; no files."),
        ("windows", "Code lengths in one lane against window and overlap; no files."),
    ):
        if (folder / f"{name}.jsonl").exists():
            rows = read_rows(folder / f"{name}.jsonl")
            parts.append(markdown_of([_shown(row) for row in rows], note))
    return "\n".join(part.strip() + "\n" for part in parts)


_PROVENANCE = {"git_commit", "git_dirty", "command", "machine", "run_id", "fingerprint"}


def _shown(row: Row) -> Row:
    shown = {name: value for name, value in row.items() if name not in _PROVENANCE}
    if "exact_12_bits_per_byte" in row:
        cost = row["exact_12_bits_per_byte"] / row["float32_bits_per_byte"] - 1
        shown["cost of 12 bits"] = f"{100 * cost:+.2f} %"
    return {
        name.replace("_", " "): f"{value:.4f}" if isinstance(value, float) else value
        for name, value in shown.items()
    }


if __name__ == "__main__":
    main()
