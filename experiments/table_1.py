"""The paper's Table 1: raw and adjusted compression rates of codecs and models.

    python -m experiments.table_1 [--quick] [--bytes N] [--model NAME]... [--modality NAME]...
        [--derive]

Text, image patches, speech and random bytes, and text of the kind that the ladder has read, 1 MiB
of each unless --bytes says less (the committed rows have 256 KiB of the last kind and 64 KiB of
random bytes); in chunks of 2,048 bytes that are compressed alone, and whole. A row with a size is a
file that was decompressed and compared, all 8 bits of each byte; a model that would make a sample
larger than it is gives no file but stores it, so its row is **scored**: the exact code length, as
the paper's rows of models are. Models get chunks without the adaptive stage, as the paper has them.
Rates of chunks have 95 % intervals, from chunks.jsonl. A row that is in records.jsonl already is
not measured again. Published rows come from published.tsv, marked.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from experiments.support import modalities, paper, table_1_intervals, table_1_tables
from experiments.support.codec_rows import Task, append_records
from experiments.support.figures import write_derived
from experiments.support.records import RowFile, result_folder, run_of
from experiments.support.table_1_drawing import draw
from lmcompress.benchmark.harness import (
    ModelCodec,
    benchmark_row,
    chunked_name,
    chunked_row,
    classical_codecs,
    record_key,
    scored_row,
)
from lmcompress.benchmark.media import media_codecs
from lmcompress.benchmark.records import Record, RunInfo, read_jsonl, read_rows
from lmcompress.codec.config import CodecConfig
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, Model, load_model

NAME = "table_1"
TEXTS = ("text", modalities.EXTRACT)
BYTES = 1 << 20
PROBE_BYTES = 2 * modalities.CHUNK_BYTES
CLASSICAL = ("stored", "gzip", "bzip2", "xz", "zstd", "brotli", "bzip3", "ppmd", "zpaq")
CHUNKED = ("gzip", "bzip2", "xz", "zstd", "brotli", "ppmd")
"""Without zpaq and bzip3, which take up to a second to start a chunk."""


def tasks(sample: modalities.Sample, models: Sequence[Model]) -> Iterator[Task]:
    """Yields the key of each row of a sample, and what measures it."""
    given = sample.name, sample.raw
    for codec in (*classical_codecs(CLASSICAL), *media_codecs()):
        yield record_key(codec, sample.raw), functools.partial(benchmark_row, codec, *given)
    for codec in (*classical_codecs(CHUNKED), *media_codecs()):
        key = chunked_name(codec.name, modalities.CHUNK_BYTES), *record_key(codec, sample.raw)[1:]
        chunks = functools.partial(chunked_row, chunk_bytes=modalities.CHUNK_BYTES)
        yield key, functools.partial(chunks, codec, *given)
    for coded in model_codecs(models, sample):
        yield _model_task(coded, sample)


def _model_task(codec: ModelCodec, sample: modalities.Sample) -> Task:
    task = functools.partial(model_row, codec, sample.name, sample.raw)
    return record_key(codec, sample.raw), task


def model_codecs(models: Sequence[Model], sample: modalities.Sample) -> Iterator[ModelCodec]:
    """Yields each model on chunks, and on whole texts; with the default, the adaptive stage too.

    The stage comes with the default model and alone.
    """
    for model in models:
        yield paper.ChunkedModelCodec(model, len(sample.raw))
        if sample.modality in TEXTS:
            yield ModelCodec(model, CodecConfig(adaptive=False))
        if model.name == DEFAULT_MODEL:
            yield ModelCodec(model)
            yield ModelCodec(load_model(NO_MODEL))


def model_row(codec: ModelCodec, corpus: str, raw: bytes, run: RunInfo) -> Record:
    """Returns the record of a file, or of the score where the file would be no smaller.

    The first chunks say which of the two is likely, to spare the other's pass over all bytes.
    """
    probe = scored_row(codec, corpus, raw[:PROBE_BYTES], run)
    if table_1_tables.rate(probe) < 1:
        file = benchmark_row(codec, corpus, raw, run)
        return file if table_1_tables.rate(file) < 1 else scored_row(codec, corpus, raw, run)
    scored = scored_row(codec, corpus, raw, run)
    is_larger = table_1_tables.rate(scored) >= 1
    return scored if is_larger else benchmark_row(codec, corpus, raw, run)


def measure(path: Path, samples: Sequence[modalities.Sample], models: Sequence[Model]) -> None:
    """Appends each missing row as soon as it is measured."""
    run, codecs = run_of(NAME), (*classical_codecs(CHUNKED), *media_codecs())
    file = RowFile(path.with_name(table_1_intervals.FILE))
    for sample in samples:
        run_tasks(path, sample, tasks(sample, models), run)
        table_1_intervals.measure(NAME, file, sample, codecs, models)


def measure_chunks(
    path: Path, samples: Sequence[modalities.Sample], models: Sequence[Model], run: RunInfo
) -> None:
    """Appends the missing rows of models on chunks."""
    for sample in samples:
        codecs = [paper.ChunkedModelCodec(model, len(sample.raw)) for model in models]
        run_tasks(path, sample, (_model_task(codec, sample) for codec in codecs), run)


def run_tasks(path: Path, sample: modalities.Sample, found: Iterable[Task], run: RunInfo) -> None:
    """Appends the missing rows of one sample."""
    for record in append_records(path, found, run):
        rate = 100 * table_1_tables.rate(record)
        click.echo(f"{sample.modality} {record.codec} {rate:.1f} %", err=True)


def records_of(path: Path) -> list[Record]:
    """Returns the records of a file, none if it does not exist."""
    return read_jsonl(path) if path.exists() else []


@click.command()
@click.option(
    "--quick", is_flag=True, help="Two models, 4 kB of each modality, into results/quick."
)
@click.option(
    "--modality",
    "names",
    multiple=True,
    type=click.Choice(table_1_tables.COLUMNS),
    help="Only these.",
)
@paper.options
def main(
    quick: bool,
    names: tuple[str, ...],
    num_bytes: int | None,
    models: tuple[str, ...],
    derive: bool,
) -> None:
    """Compares codecs and models on text, images, speech and random bytes."""
    with result_folder(NAME, quick, derive=derive) as folder:
        path = folder / "records.jsonl"
        if not derive:
            size = paper.size_of(num_bytes, quick, BYTES)
            samples = [
                modalities.sample(modality, size) for modality in names or table_1_tables.COLUMNS
            ]
            measure(path, samples, paper.chosen_models(models, quick))
        records, chunks = records_of(path), read_rows(folder / table_1_intervals.FILE)
        texts = table_1_tables.derived_texts(records, chunks)
        write_derived(folder, texts, {"rates": lambda: draw(records, chunks)})


if __name__ == "__main__":
    main()
