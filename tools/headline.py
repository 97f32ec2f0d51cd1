"""The figures that the README opens with, read from records in results/.

Rates come from `default_against_classical`, ten files; speeds from `speed`, where all codecs were
timed in turns on one text and one machine.
"""

from __future__ import annotations

from pathlib import Path

from lmcompress.benchmark.records import Record, latest, read_jsonl, read_rows
from lmcompress.report.speeds import Speeds, speeds_of_rows

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"


def read_rates() -> list[Record]:
    """Returns the current records of each codec on each of the ten files."""
    return latest(read_jsonl(RESULTS / "default_against_classical" / "records.jsonl"))


def read_speeds() -> Speeds:
    """Returns the newest run in which the classical codecs were timed too.

    Raises:
      LmcompressError: If there is none.
    """
    return speeds_of_rows(read_rows(RESULTS / "speed" / "records.jsonl"))
