"""Codecs measured on corpora, file by file: rows that are not measured twice, and their tables."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from experiments.support.records import run_of
from experiments.support.speed_codecs import FASTER
from lmcompress import corpora
from lmcompress.benchmark.harness import ModelCodec, benchmark_row, classical_codecs, record_key
from lmcompress.benchmark.protocol import Codec
from lmcompress.benchmark.records import (
    Record,
    RunInfo,
    append_jsonl,
    csv_text,
    latest,
    read_jsonl,
)
from lmcompress.codec.config import CodecConfig
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model
from lmcompress.report.tables import rate_table

MODELS = (DEFAULT_MODEL, FASTER)
"""The embedded models for everyday use: the default, of bytes, and a faster one, of tokens."""
Task = tuple[tuple[Any, ...], Callable[[RunInfo], Record]]
"""The key of a record, and what measures it."""


def codecs(models: Sequence[str], threads: int | None) -> list[Codec]:
    """Returns all classical codecs, the models, and the adaptive stage alone."""
    config = CodecConfig(threads=threads)
    ours = [ModelCodec(load_model(name), config) for name in (*models, NO_MODEL)]
    return [*classical_codecs(["all"]), *ours]


def measure(
    experiment: str,
    names: Sequence[str],
    codecs: Sequence[Codec],
    path: Path,
    load: Callable[[str], bytes] = corpora.load,
) -> None:
    """Measures each codec on each corpus, and appends the rows that the file does not have yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tasks = (
        (record_key(codec, raw), functools.partial(benchmark_row, codec, name, raw))
        for name, raw in ((name, load(name)) for name in names)
        for codec in codecs
    )
    for record in append_records(path, tasks, run_of(experiment)):
        rate = f"{record.bits_per_byte:.4f} bits per byte"
        click.echo(f"{record.corpus} {record.codec} {rate}", err=True)


def append_records(path: Path, tasks: Iterable[Task], run: RunInfo) -> Iterator[Record]:
    """Appends the record of each task whose key the file does not have; yields it."""
    done = {record.key for record in read_jsonl(path)} if path.exists() else set()
    for key, task in tasks:
        if key not in done:
            record = task(run)
            append_jsonl([record], path)
            yield record


def in_order(records: Iterable[Record], names: Sequence[str]) -> list[Record]:
    """Returns the last record of each codec on each corpus, in a fixed order."""
    shown = [record for record in latest(records) if record.corpus in names]
    return sorted(shown, key=lambda record: (names.index(record.corpus), record.codec))


def derived_texts(records: Iterable[Record], names: Sequence[str]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    shown = in_order(records, names)
    table = f"""\
Files, or slices of them where so named, compressed, decompressed and compared.

{rate_table(shown)}
"""
    return {"summary.csv": csv_text(map(dataclasses.asdict, shown)), "table.md": table}
