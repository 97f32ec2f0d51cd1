"""What does a command cost before it does anything?

    python -m experiments.start_up [--quick]

Whole processes, one thread, in turns; medians over the rounds. CPU seconds are user and system time
and depend less on what else runs; waiting for the disk counts in seconds alone. "first run": the
kernels are compiled into an empty cache.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from experiments.support.records import Row, identified, result_folder, with_machine, write_results
from experiments.support.speed_codecs import FASTER
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.models.store import DEFAULT_MODEL, load_model

NAME = "start_up"
CORPUS = "canterbury/alice29.txt"
NOTE = "Whole processes on one thread, medians; seconds depend on what else ran there."
COLUMNS = ("what", "CPU s", "s", "rounds")
ROUNDS, QUICK_ROUNDS = 5, 1
SMALL, LARGER = 1_000, 10_000
FIRST = "compress 1 kB, first run"


class Times(NamedTuple):
    """Of one process."""

    cpu_seconds: float
    seconds: float


def time_of(command: list[str], environment: Mapping[str, str] = {}) -> Times:
    """Runs a command to its end, which must be good."""
    before, started = _cpu_seconds(), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return Times(_cpu_seconds() - before, time.perf_counter() - started)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def commands(folder: Path) -> dict[str, list[str]]:
    """Returns what is timed, by name; writes the files that it takes."""
    text = corpora.load(CORPUS)
    small, larger = folder / "small", folder / "larger"
    small.write_bytes(text[:SMALL])
    larger.write_bytes(text[:LARGER])
    ours = [sys.executable, "-m", "lmcompress"]
    compress = [*ours, "compress", "-qf"]
    decompress = [*ours, "decompress", "-qf"]
    return {
        FIRST: [*compress, str(small)],
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        "--help": [*ours, "--help"],
        "compress 1 kB": [*compress, str(small)],
        "compress 10 kB": [*compress, str(larger)],
        "decompress 1 kB": [*decompress, f"{small}.lmc"],
        "decompress 10 kB": [*decompress, f"{larger}.lmc"],
        f"compress 1 kB, -m {FASTER}": [*compress, "-m", FASTER, "-o", f"{small}.5m", str(small)],
        f"decompress 1 kB, -m {FASTER}": [*decompress, "-o", f"{small}.out", f"{small}.5m"],
        "compress 1 kB, -m none": [*compress, "-m", "none", "-o", f"{small}.none", str(small)],
    }


def measure(rounds: int) -> list[dict[str, Any]]:
    """Returns a row for each command."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        todo = commands(folder)
        kernels = {"NUMBA_CACHE_DIR": str(folder / "kernels")}
        found = {FIRST: [time_of(todo.pop(FIRST), kernels)]}
        for command in todo.values():  # so that all kernels are compiled
            time_of(command)
        for number in range(rounds):
            click.echo(f"round {number + 1} of {rounds}", err=True)
            for what, command in todo.items():
                found.setdefault(what, []).append(time_of(command))
    return [row_of(what, times) for what, times in found.items()]


def row_of(what: str, times: list[Times]) -> dict[str, Any]:
    """Returns the medians of a command's rounds."""
    cpu_seconds, seconds = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "what": what,
        "CPU s": round(cpu_seconds, 2),
        "s": round(seconds, 2),
        "rounds": len(times),
    }


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of(rows, with_machine(NOTE, rows), COLUMNS)}


@click.command()
@click.option("--quick", is_flag=True, help="One round, into results/quick.")
def main(quick: bool) -> None:
    """Measures what the start of a command costs."""
    with result_folder(NAME, quick) as folder:
        rows = measure(QUICK_ROUNDS if quick else ROUNDS)
        records = [{**row, "corpus": CORPUS} for row in rows]
        write_results(NAME, identified(records, load_model(DEFAULT_MODEL)), folder, derived_texts)


if __name__ == "__main__":
    main()
