"""Wall time of an experiment's runs, kept in `minutes.json` next to its records."""

from __future__ import annotations

import collections
import dataclasses
import json
from pathlib import Path

from lmcompress.benchmark.records import read_rows
from lmcompress.system.atomic import replace_atomically

FILE = "minutes.json"


@dataclasses.dataclass(frozen=True)
class Minutes:
    """The wall time of the runs that measured an experiment's rows.

    Attributes:
      minutes: Of all of these runs that were timed.
      timed_rows: The number of rows that they measured.
      rows: The number of all rows. Some may not be timed: runs that were killed left them, or
        runs before times were kept.
    """

    minutes: float
    timed_rows: int
    rows: int

    @classmethod
    def of(cls, folder: Path) -> Minutes:
        """Reads an experiment's folder; one without records has no rows."""
        timed, rows = _timed_runs(folder), _rows_by_run(folder)
        there = timed.keys() & rows.keys()
        return cls(sum(timed[run] for run in there), sum(rows[run] for run in there), rows.total())

    def __add__(self, other: Minutes) -> Minutes:
        return Minutes(
            self.minutes + other.minutes,
            self.timed_rows + other.timed_rows,
            self.rows + other.rows,
        )

    def __str__(self) -> str:
        missing = "" if self.timed_rows == self.rows else f"{self.timed_rows:,} of "
        return f"{missing}{self.rows:,} rows in {self.minutes:,.1f} minutes"


def remember_minutes(folder: Path, run_id: str, seconds: float) -> None:
    """Keeps how long a run took, if the folder has rows of it; forgets runs without rows."""
    rows = _rows_by_run(folder)
    if run_id not in rows:
        return
    timed = _timed_runs(folder) | {run_id: round(seconds / 60, 2)}
    kept = {run: timed[run] for run in sorted(timed) if run in rows}
    with replace_atomically(folder / FILE, overwrite=True) as file:
        file.write((json.dumps(kept, indent=2) + "\n").encode())


def _timed_runs(folder: Path) -> dict[str, float]:
    path = folder / FILE
    found: dict[str, float] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def _rows_by_run(folder: Path) -> collections.Counter[str]:
    return collections.Counter(
        row.get("run_id", "") for path in folder.glob("*.jsonl") for row in read_rows(path)
    )
