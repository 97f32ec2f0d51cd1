"""How much faster are two cores than one, for a file of several segments?

    python -m experiments.cores [--quick]

Segments are independent, so they are coded side by side. One thread and as many as there are cores
take turns in one process, three times; wall time, since that is what cores save. Every file is
decompressed and compared, and is the same for any number of threads.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import click

from experiments.support.records import (
    Row,
    identified,
    result_folder,
    with_machine,
    without_source,
    write_results,
)
from experiments.support.tables import markdown_of
from experiments.support.timing import round_trip
from lmcompress import CodecConfig, corpora
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model
from lmcompress.system.cpus import usable_cpus

NAME = "cores"
CORPUS = "enwik/enwik8.head-4150000@0"
SEGMENTS = 4
RAW_BYTES = {NO_MODEL: 4_000_000, DEFAULT_MODEL: 400_000}
QUICK_BYTES = {NO_MODEL: 40_000}
ROUNDS = 3
NOTE = (
    f"A file of {SEGMENTS} equal segments; medians of {ROUNDS} rounds in turns, wall time. The "
    "machine may have done other work."
)


def timed(model: str, raw: bytes, threads: int) -> tuple[tuple[float, float], bytes]:
    """Returns the seconds of both ways, and the compressed bytes."""
    config = CodecConfig(segment_bytes=-(-len(raw) // SEGMENTS), threads=threads)
    found = round_trip(raw, load_model(model), config)
    return (found.compress_seconds, found.decompress_seconds), found.compressed


def row_of(model: str, raw: bytes, cores: int) -> dict[str, Any]:
    """Returns the seconds on one core and on several, and their ratios."""
    timed(model, raw[:4000], cores)  # loads the model and its kernels
    runs: dict[int, list[tuple[float, float]]] = {1: [], cores: []}
    frames = set()
    for _ in range(ROUNDS):
        for threads, seconds in runs.items():
            measured, frame = timed(model, raw, threads)
            seconds.append(measured)
            frames.add(frame)
    if len(frames) != 1:
        raise click.ClickException("threads changed the file")
    row: dict[str, Any] = {"corpus": f"{CORPUS}+{len(raw)}", "model": model, "cores": cores}
    for way, name in enumerate(("compress", "decompress")):
        one, several = (
            statistics.median(seconds[way] for seconds in runs[threads]) for threads in (1, cores)
        )
        row |= {f"{name} s, one core": round(one, 2), f"{name} s": round(several, 2)}
        row[f"{name}, times as fast"] = round(one / several, 2)
    return row


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of(list(map(without_source, rows)), with_machine(NOTE, rows))}


@click.command()
@click.option("--quick", is_flag=True, help="40 kB, into results/quick.")
def main(quick: bool) -> None:
    """Measures several cores against one."""
    with result_folder(NAME, quick) as folder:
        records = []
        for model, size in (QUICK_BYTES if quick else RAW_BYTES).items():
            raw = corpora.load(f"{CORPUS}+{size}")
            row = row_of(model, raw, max(2, usable_cpus()))
            records += identified([row], load_model(model))
            click.echo(str(row), err=True)
        write_results(NAME, records, folder, derived_texts)


if __name__ == "__main__":
    main()
