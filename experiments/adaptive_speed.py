"""How much time does the adaptive stage cost, both ways, and how fast is it alone?

    python -m experiments.adaptive_speed [--quick]

The default model with automatic lanes, with and without the stage in turns in one process; medians
and their ratios. One thread, in CPU seconds, which depend less on other work than seconds do. The
stage runs on one thread in any case.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

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

NAME = "adaptive_speed"
CORPORA = ("canterbury/alice29.txt", "logs/us-sba-data-catalog.json@0+150000")
WAYS = {
    "GPT alone": (DEFAULT_MODEL, False),
    "GPT and stage": (DEFAULT_MODEL, True),
    "stage alone": (NO_MODEL, True),
}
NOTE = "Medians of runs in turns, one thread, processor time."
_WARM_UP_BYTES = 4096
"""Enough text to load the model and compile its kernels."""


def run(way: str, raw: bytes) -> dict[str, float]:
    """Returns the CPU seconds of one round trip."""
    name, adaptive = WAYS[way]
    config = CodecConfig(adaptive=adaptive, threads=1, device="cpu")
    found = round_trip(raw, load_model(name), config, time.process_time)
    return {"compress": found.compress_seconds, "decompress": found.decompress_seconds}


def measure(raw: bytes, repeats: int) -> dict[str, dict[str, float]]:
    """Returns the median kB per second of one core, compressing and decompressing, by way."""
    seconds: dict[str, dict[str, list[float]]]
    seconds = {way: {"compress": [], "decompress": []} for way in WAYS}
    for way in WAYS:
        run(way, raw[:_WARM_UP_BYTES])
    for _ in range(repeats):
        for way in WAYS:
            found = run(way, raw)
            for what, times in seconds[way].items():
                times.append(found[what])
    return {
        way: {what: len(raw) / 1000 / statistics.median(times) for what, times in both.items()}
        for way, both in seconds.items()
    }


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of(list(map(without_source, rows)), with_machine(NOTE, rows))}


@click.command()
@click.option("--quick", is_flag=True, help="One small file, into results/quick.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1))
def main(quick: bool, repeats: int) -> None:
    """Measures the speed of compression with and without the adaptive stage."""
    with result_folder(NAME, quick) as folder:
        rows = []
        for name in ("canterbury/fields.c",) if quick else CORPORA:
            raw = corpora.load(name)
            found = measure(raw, repeats)
            for way, speeds in found.items():
                row: Row = {"corpus": name, "way": way}
                for what, speed in speeds.items():
                    row[f"{what}, kB/s a core"] = round(speed, 1)
                    row[f"{what}, of GPT alone"] = round(speed / found["GPT alone"][what], 3)
                rows.append(row)
                click.echo(row, err=True)
        write_results(NAME, identified(rows, load_model(DEFAULT_MODEL)), folder, derived_texts)


if __name__ == "__main__":
    main()
