"""Bits per byte and speeds of codecs, as the figures draw them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

from lmcompress.benchmark import classical
from lmcompress.benchmark.records import Record, latest
from lmcompress.errors import LmcompressError
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.report.results import Row

Action = Literal["compress", "decompress"]
ACTIONS: tuple[Action, Action] = ("compress", "decompress")
STAGE = "adaptive stage alone"
LABELS = {DEFAULT_MODEL: f"lmcompress ({DEFAULT_MODEL})", STAGE: "lmcompress -m none"}
_SHORT_LABELS = {DEFAULT_MODEL: "lmcompress", STAGE: "-m none"}
"""Names for readers, in tables and figures."""
_DEFAULT_IN_SPEED = "default model"


@dataclasses.dataclass(frozen=True)
class Speed:
    """A codec on the texts that all codecs were timed on."""

    codec: str
    bits_per_byte: float
    compress: float
    decompress: float
    """Both in kB/s: 1,000 raw bytes a second."""
    is_ours: bool = False
    """Whether lmcompress made the files, with a model or without."""


@dataclasses.dataclass(frozen=True)
class Speeds:
    """What one run of the experiment `speed` measured, on one machine."""

    rows: Sequence[Speed]
    corpus: str
    raw_bytes: int
    machine: str
    threads: int


def speeds_of_records(records: Iterable[Record]) -> list[Speed]:
    """Returns the codecs that were timed on every file, all bytes over all seconds.

    `stored` is left out: it copies nothing, so it has no speed.
    """
    timed: dict[str, list[Record]] = {}
    for record in latest(records):
        if record.compress_seconds and record.decompress_seconds and record.codec != "stored":
            timed.setdefault(record.codec, []).append(record)
    num_corpora = len({record.corpus for rows in timed.values() for record in rows})
    return [_of_codec(rows) for rows in timed.values() if len(rows) == num_corpora]


def _of_codec(rows: Sequence[Record]) -> Speed:
    raw_bytes = sum(record.raw_bytes for record in rows)
    return Speed(
        rows[0].codec,
        bits_per_byte(sum(record.compressed_bytes or 0 for record in rows), raw_bytes),
        raw_bytes / 1000 / sum(record.compress_seconds or 0.0 for record in rows),
        raw_bytes / 1000 / sum(record.decompress_seconds or 0.0 for record in rows),
        is_ours=bool(rows[0].fingerprint),
    )


def speeds_of_rows(rows: Iterable[Row]) -> Speeds:
    """Returns the run of the experiment `speed` on the machine where the default model is fastest.

    Raises:
      LmcompressError: If codecs were not timed in any run.
    """
    timed = [row for row in rows if "codec" in row]
    ours = [row for row in timed if row["codec"] == _DEFAULT_IN_SPEED]
    if not ours:
        raise LmcompressError("no speeds of codecs: run python -m experiments.speed")
    fastest = max(ours, key=lambda row: float(row["kB/s"]))
    rows = [row for row in timed if row["run_id"] == fastest["run_id"]]
    codecs = dict.fromkeys(row["codec"] for row in rows)
    first = rows[0]
    return Speeds(
        [_of_rows(codec, [row for row in rows if row["codec"] == codec]) for codec in codecs],
        first["corpus"],
        first["raw_bytes"],
        machine_of(first),
        first["threads"],
    )


def machine_of(row: Row) -> str:
    """Returns the machine of a record of `speed`, with its instructions, which names have now."""
    name, instructions = row["machine"], row["instructions"]
    return name if name.endswith(instructions) else f"{name}, {instructions}"


def _of_rows(codec: str, rows: Sequence[Row]) -> Speed:
    speeds = {row["action"]: row["kB/s"] for row in rows}
    rate = bits_per_byte(rows[0]["compressed_bytes"], rows[0]["raw_bytes"])
    name = DEFAULT_MODEL if codec == _DEFAULT_IN_SPEED else codec
    is_ours = codec not in classical.names()
    return Speed(name, rate, speeds["compress"], speeds["decompress"], is_ours)


def labelled(speeds: Iterable[Speed]) -> list[Speed]:
    """Returns the same with short names for lmcompress, with its default model and without."""
    return [
        dataclasses.replace(one, codec=_SHORT_LABELS.get(one.codec, one.codec)) for one in speeds
    ]


def pareto_front(speeds: Iterable[Speed], action: Action) -> list[Speed]:
    """Returns the codecs that no other beats in both, slowest first.

    A codec is left out if another is as fast and makes files as small, and is better in one of the
    two.
    """
    by_speed = sorted(speeds, key=lambda one: (-getattr(one, action), one.bits_per_byte))
    front: list[Speed] = []
    for one in by_speed:
        if not front or one.bits_per_byte < front[-1].bits_per_byte:
            front.append(one)
    return front[::-1]
