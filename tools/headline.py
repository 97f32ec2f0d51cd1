"""The figures that the README opens with, read from records in results/.

Rates come from `default_against_classical`, ten files; speeds from `speed`, where all codecs were
timed in turns on one text and one machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmcompress.benchmark.records import Record, latest, read_jsonl, read_rows
from lmcompress.errors import LmcompressError
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import DEFAULT_MODEL

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
_DEFAULT_IN_SPEED = "default model"
STAGE = "adaptive stage alone"
LABELS = {DEFAULT_MODEL: f"lmcompress ({DEFAULT_MODEL})", STAGE: "lmcompress -m none"}


@dataclasses.dataclass(frozen=True)
class Speed:
    """A codec on the one text that all codecs were timed on."""

    codec: str
    bits_per_byte: float
    compress: float
    decompress: float
    """Both in kB/s: 1,000 raw bytes a second."""


@dataclasses.dataclass(frozen=True)
class Speeds:
    """What one run of `speed` measured, and where."""

    rows: Sequence[Speed]
    corpus: str
    raw_bytes: int
    machine: str
    threads: int


def read_rates() -> list[Record]:
    """Returns the current records of each codec on each of the ten files."""
    return latest(read_jsonl(RESULTS / "default_against_classical" / "records.jsonl"))


def read_speeds() -> Speeds:
    """Returns the newest run in which the classical codecs were timed too.

    Raises:
      LmcompressError: If there is none.
    """
    timed = [row for row in read_rows(RESULTS / "speed" / "records.jsonl") if "codec" in row]
    if not timed:
        raise LmcompressError("no speeds of codecs: run python -m experiments.speed")
    newest = max(row["run_id"] for row in timed)
    rows = [row for row in timed if row["run_id"] == newest]
    codecs = dict.fromkeys(row["codec"] for row in rows)
    first = rows[0]
    return Speeds(
        [_speed(codec, [row for row in rows if row["codec"] == codec]) for codec in codecs],
        first["corpus"],
        first["raw_bytes"],
        f"{first['machine']}, {first['instructions']}",
        first["threads"],
    )


def _speed(codec: str, rows: Sequence[dict[str, Any]]) -> Speed:
    speeds = {row["action"]: row["kB/s"] for row in rows}
    rate = bits_per_byte(rows[0]["compressed_bytes"], rows[0]["raw_bytes"])
    name = DEFAULT_MODEL if codec == _DEFAULT_IN_SPEED else codec
    return Speed(name, rate, speeds["compress"], speeds["decompress"])
