"""An experiment's folder under results/, and its records with their provenance."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from experiments.support.tables import write_texts
from lmcompress import corpora
from lmcompress.benchmark.minutes import remember_minutes
from lmcompress.benchmark.provenance import command_line, describe_run
from lmcompress.benchmark.records import RunInfo, append_rows, json_line, read_rows
from lmcompress.errors import LmcompressError
from lmcompress.models.store import Model
from lmcompress.system.atomic import replace_atomically

Row = dict[str, Any]
Derived = Callable[[Sequence[Row]], Mapping[str, str]]
"""Text files by name, made of nothing but an experiment's records."""
_SOURCE = (
    "corpus_sha256", "fingerprint", "git_commit", "git_dirty", "command", "machine", "run_id",
)  # fmt: skip
RESULTS = Path(__file__).resolve().parents[2] / "results"


def identified(rows: Sequence[dict[str, Any]], model: Model) -> list[dict[str, Any]]:
    """Returns the rows with the SHA-256 of their corpus and the model's fingerprint."""
    found = []
    for row in rows:
        count = row.get("raw_bytes", row.get("raw bytes"))  # of a part of a corpus, its size
        digest = hashlib.sha256(corpora.load(row["corpus"])[:count]).hexdigest()
        found.append({**row, "corpus_sha256": digest, "fingerprint": model.fingerprint.hex()})
    return found


def folder_of(name: str, *, quick: bool) -> Path:
    """Returns the path of the experiment's folder under results/."""
    return RESULTS / "quick" / name if quick else RESULTS / name


@contextlib.contextmanager
def result_folder(name: str, quick: bool, *, derive: bool = False) -> Iterator[Path]:
    """Yields the experiment's folder under results/, created if it does not exist.

    Errors of lmcompress become one line. Records name the commit at this moment: by the end, the
    checkout may be at another one than the code that ran. With `derive`, the records must exist.
    How long the run took is kept for the rows that it leaves, also if it is interrupted.
    """
    folder = folder_of(name, quick=quick)
    shown = folder.relative_to(RESULTS.parent)
    run, started = run_of(name), time.monotonic()
    try:
        if derive and not (folder / "records.jsonl").is_file():
            raise LmcompressError(f"found no records.jsonl in {shown}: leave out --derive")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        finally:
            if not quick:
                remember_minutes(folder, run.run_id, time.monotonic() - started)
    except (LmcompressError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(f"Wrote {shown}", err=True)


def without_source(row: Row) -> Row:
    """Returns what a record says besides where it comes from."""
    return {key: value for key, value in row.items() if key not in _SOURCE}


def with_machine(note: str, rows: Sequence[Row]) -> str:
    """Returns a note that ends in the machines on which the rows were measured."""
    return f"{note} Machine: {'; '.join(dict.fromkeys(row['machine'] for row in rows))}."


def write_results(name: str, rows: Sequence[Row], folder: Path, derived_texts: Derived) -> None:
    """Writes records.jsonl, and the texts that are derived from it."""
    write_records(name, rows, folder)
    write_texts(derived_texts(read_rows(folder / "records.jsonl")), folder)


def write_records(name: str, rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Writes records.jsonl: each row with its provenance."""
    source = provenance(name)
    replace_rows([{**row, **source} for row in rows], folder / "records.jsonl")


def replace_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Replaces a file by rows as JSON lines, atomically."""
    with replace_atomically(path, overwrite=True) as file:
        file.writelines(map(json_line, rows))


class RowFile:
    """Measured rows as JSON lines: appended as soon as they are known, never edited."""

    def __init__(self, path: Path) -> None:
        """Reads the rows that are there; the file need not exist."""
        self.path = path
        self.rows = read_rows(path)

    def matching(self, identity: Row) -> list[Row]:
        """Returns the rows that have these values: if there is one, it need not be measured."""
        return [row for row in self.rows if identity.items() <= row.items()]

    def append(self, row: Row) -> None:
        """Adds a row, in memory and on disk."""
        append_rows([row], self.path)
        self.rows.append(row)


def append_missing(
    path: Path, name: str, model: Model, tasks: Mapping[str, Callable[[], Row]]
) -> None:
    """Appends a row of the model for each key that has none, each as soon as it is measured.

    Args:
      path: Of the records.
      name: The experiment's.
      model: Whose fingerprint a row gets.
      tasks: What measures a row, by its key.
    """
    file = RowFile(path)
    for key, measure in tasks.items():
        identity = {"key": key, "fingerprint": model.fingerprint.hex()}
        if not file.matching(identity):
            row = measure()
            file.append({**identity, **row, **provenance(name)})
            click.echo(f"{key}: {row}", err=True)


def current(rows: Sequence[Row]) -> list[Row]:
    """Returns the last row of each key, of the newest weights of each model's name.

    Args:
      rows: Those that `append_missing` wrote.
    """
    newest = {row.get("model"): row["fingerprint"] for row in rows}
    found = {
        (row["key"], row.get("model")): row
        for row in rows
        if row["fingerprint"] == newest[row.get("model")]
    }
    return list(found.values())


def provenance(name: str) -> dict[str, Any]:
    """Returns the fields of a row that say where it comes from."""
    run = run_of(name)
    return {
        "git_commit": run.git_commit,
        "git_dirty": run.git_dirty,
        "command": run.command,
        "machine": run.machine,
        "run_id": run.run_id,
    }


@functools.cache
def run_of(name: str) -> RunInfo:
    """Returns what the records of this execution share, as of the first call."""
    return describe_run(command_line(["python", "-m", f"experiments.{name}", *sys.argv[1:]]))
