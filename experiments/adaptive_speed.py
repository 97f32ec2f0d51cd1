"""What does the adaptive stage cost in time, both ways, and how fast is it alone?

    python -m experiments.adaptive_speed [--quick]

With and without the stage in turns in one process, the default model, automatic lanes; medians and
their ratios. The stage is one thread: its kB/s alone are those of one core. Only ratios of one run
mean something on a machine that others use.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import click

import lmcompress
from experiments.common import folder_of, write_records, write_table
from lmcompress import CodecConfig, corpora
from lmcompress.model_store import DEFAULT_MODEL, NO_MODEL, load_model
from lmcompress.predictor import resolve_threads

NAME = "adaptive_speed"
CORPORA = ("canterbury/alice29.txt", "logs/us-sba-data-catalog.json@0+150000")
WAYS = {
    "GPT alone": (DEFAULT_MODEL, False),
    "GPT and stage": (DEFAULT_MODEL, True),
    "stage alone": (NO_MODEL, True),
}


def timed(action: Callable[[], bytes]) -> tuple[float, bytes]:
    """Returns seconds and what came out."""
    started = time.perf_counter()
    found = action()
    return time.perf_counter() - started, found


def measure(raw: bytes, repeats: int) -> dict[str, dict[str, float]]:
    """Returns the median kB/s by way, for compress and decompress."""
    seconds: dict[str, dict[str, list[float]]]
    seconds = {way: {"compress": [], "decompress": []} for way in WAYS}
    for repeat in range(repeats + 1):
        for way, (name, adaptive) in WAYS.items():
            model, config = load_model(name), CodecConfig(adaptive=adaptive)
            encoding, frame = timed(lambda m=model, c=config: lmcompress.compress(raw, m, c))  # type: ignore[misc]
            decoding, restored = timed(lambda f=frame, m=model: lmcompress.decompress(f, m))  # type: ignore[misc]
            if restored != raw:
                raise click.ClickException(f"{way} did not give the text back")
            if repeat:  # the first run compiles
                seconds[way]["compress"].append(encoding)
                seconds[way]["decompress"].append(decoding)
    return {
        way: {what: len(raw) / 1000 / statistics.median(times) for what, times in both.items()}
        for way, both in seconds.items()
    }


@click.command()
@click.option("--quick", is_flag=True, help="One small file, into results/quick.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1))
def main(quick: bool, repeats: int) -> None:
    """Measures the speed of compression with and without the adaptive stage."""
    rows = []
    for name in ("canterbury/fields.c",) if quick else CORPORA:
        raw = corpora.load(name)
        found = measure(raw, repeats)
        for way, speeds in found.items():
            threads = 1 if WAYS[way][0] == NO_MODEL else resolve_threads(None)
            row = {"corpus": name, "way": way, "threads": threads}
            for what, speed in speeds.items():
                row[f"{what}, kB/s"] = round(speed, 1)
                row[f"{what}, of GPT alone"] = round(speed / found["GPT alone"][what], 3)
            rows.append(row)
            click.echo(row, err=True)
    folder = folder_of(NAME, quick=quick)
    write_records(NAME, rows, folder)
    write_table(
        rows,
        folder,
        "Medians of runs in turns; models loaded, kernels compiled. The stage is one thread.",
    )


if __name__ == "__main__":
    main()
