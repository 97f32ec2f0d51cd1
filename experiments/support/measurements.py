"""Measurements that are written one by one: a run that is ended early leaves what it has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from experiments.support.records import Row, provenance, replace_rows
from lmcompress.benchmark.records import read_rows

Measure = Callable[[], Row]


class Measurements:
    """The rows of an experiment in records.jsonl; what an earlier run has measured is kept.

    A row counts as measured if its commit and the fields of `about` are those of this run, and it
    has no error.
    """

    def __init__(self, name: str, folder: Path, about: Row, seconds: float = math.inf) -> None:
        self._path, self._end = folder / "records.jsonl", time.monotonic() + seconds
        self._fields = {**about, **provenance(name)}
        same = {key: self._fields[key] for key in (*about, "git_commit", "git_dirty")}
        self.rows = [
            row
            for row in read_rows(self._path)
            if same.items() <= row.items() and "error" not in row
        ]

    @property
    def seconds_left(self) -> float:
        """Until no further measurement begins."""
        return self._end - time.monotonic()

    @property
    def failures(self) -> list[str]:
        """What went wrong, a line for each measurement."""
        return [f"{row['measurement']}: {row['error']}" for row in self.rows if "error" in row]

    def take(self, measures: Sequence[tuple[str, Measure]]) -> int:
        """Takes those that are missing, in order, while there is time; returns how many are left.

        An error is written down, and the next measurement goes on.
        """
        done = {row["measurement"] for row in self.rows}
        missing = [pair for pair in measures if pair[0] not in done]
        for taken, (name, measure) in enumerate(missing):
            if self.seconds_left <= 0:
                return len(missing) - taken
            click.echo(name, err=True)
            self._add(name, measure)
        return 0

    def _add(self, name: str, measure: Measure) -> None:
        started = time.monotonic()
        try:
            row = measure()
        except Exception as exc:  # a compiler's or a driver's too: the others still count
            row = {"error": f"{type(exc).__name__}: {str(exc).partition(chr(10))[0]}"}
            click.echo(f"{name}: {row['error']}", err=True)
        seconds = round(time.monotonic() - started, 1)
        self.rows.append({"measurement": name, **row, "took_seconds": seconds, **self._fields})
        replace_rows(self.rows, self._path)
