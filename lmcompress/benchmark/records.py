"""Records: one measurement each, kept as JSON lines, from which tables and figures are made.

A record is written once and never edited. It has `compressed_bytes` only if the compressed bytes
were decompressed and compared with the original; a row that was only scored has None. In a coded
row, ideal <= quantized <= payload <= compressed.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from lmcompress.errors import LmcompressError, UnsupportedVersionError
from lmcompress.system.atomic import replace_atomically

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_Parsed = TypeVar("_Parsed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunInfo:
    """The fields that all records of one execution share."""

    run_id: str
    git_commit: str | None
    """None outside a checkout."""
    git_dirty: bool | None
    """Whether the code differed from the commit."""
    lmcompress_version: str
    command: str
    torch_version: str | None
    python_version: str
    machine: str
    """Architecture, CPU model, number of CPUs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record(RunInfo):
    """One codec on one corpus."""

    schema_version: int = SCHEMA_VERSION
    created_utc: str
    corpus: str
    corpus_sha256: str
    """Hash of the bytes that were compressed: of the range only, if the corpus is a range."""
    raw_bytes: int
    codec: str
    codec_version: str
    num_parameters: int
    model_bytes: int
    """Size of the stored model; this and the parameters are 0 without one."""
    half_precision_model_bytes: int
    """What Delétang et al. (2024) count for the model: two bytes per parameter."""
    fingerprint: str
    """Of the model; empty without one."""
    lanes: int | None
    """Lanes of the largest segment; None for codecs without a model, as is `segment_bytes`."""
    segment_bytes: int | None
    ideal_code_length_bits: float | None
    quantized_code_length_bits: float | None
    """Both None where the row was not scored."""
    payload_bytes: int | None
    """None for classical codecs, which have their own framing."""
    compressed_bytes: int | None
    """None for a row that was only scored."""
    bits_per_byte: float | None
    """8 * compressed_bytes / raw_bytes; this and the rates are None for an empty corpus."""
    raw_compression_rate: float | None
    adjusted_compression_rate: float | None
    compress_seconds: float | None
    decompress_seconds: float | None
    """The best of the loops, after a warm-up, of the codec alone; so is `compress_seconds`."""
    device: str
    num_threads: int
    round_trip_ok: bool

    @property
    def key(self) -> tuple[Any, ...]:
        """What determines the compressed size: equal keys need no second measurement."""
        return (
            self.codec,
            self.codec_version,
            self.corpus_sha256,
            self.fingerprint,
            self.lanes,
            self.segment_bytes,
        )

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Record:
        """Inverts `dataclasses.asdict`.

        Raises:
          UnsupportedVersionError: If the record has another schema.
          LmcompressError: If fields are missing, unknown, or of another type.
        """
        version = fields.get("schema_version")
        if version != SCHEMA_VERSION:
            raise UnsupportedVersionError(
                f"a record has schema version {version}, expected {SCHEMA_VERSION}: "
                "read it with the lmcompress that wrote it"
            )
        known = {field.name for field in dataclasses.fields(cls)}
        if fields.keys() != known:
            raise LmcompressError(
                f"a record lacks {sorted(known - fields.keys())} and has unknown "
                f"{sorted(fields.keys() - known)}: it was not written by lmcompress"
            )
        for name, kind in _kinds().items():
            if not isinstance(fields[name], kind):
                raise LmcompressError(f"a record has {name} {fields[name]!r}, expected {kind}")
        return cls(**fields)


@functools.cache
def _kinds() -> dict[str, Any]:
    """Returns the types of a record's fields, as JSON has them: a whole number may be an int."""
    hints = get_type_hints(Record)
    return {n: kind | int if float in get_args(kind) else kind for n, kind in hints.items()}


def latest(records: Iterable[Record]) -> list[Record]:
    """Returns the last record of each codec and corpus, in the order of first appearance.

    Records of another version or model of the codec than in its last record are left out: a row of
    a table must not mix two models.
    """
    records = list(records)
    current = {record.codec: (record.codec_version, record.fingerprint) for record in records}
    found: dict[tuple[str, str], Record] = {}
    for record in records:
        if current[record.codec] == (record.codec_version, record.fingerprint):
            found[record.codec, record.corpus] = record
    return list(found.values())


def append_jsonl(records: Iterable[Record], path: Path) -> None:
    """Appends records to a file, creating it; see `append_rows`."""
    append_rows(map(dataclasses.asdict, records), path)


def append_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Appends rows of any fields to a file, creating it.

    Each row is one write of one line, so a process that is killed leaves at most the last line
    incomplete; an incomplete line that is already there is removed.
    """
    _cut_torn_line(path)
    with path.open("ab") as output:
        for row in rows:
            output.write(json_line(row))
            output.flush()


def read_jsonl(path: Path) -> list[Record]:
    """Returns the records of a file; an incomplete last line is left out with a warning.

    Raises:
      LmcompressError: If any other line is not a record; the message has the line's number.
    """
    return _read_lines(path, lambda line: Record.from_dict(_loaded(line)))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows that `append_rows` wrote, like `read_jsonl`; none if there is no file.

    Raises:
      LmcompressError: If a line is not a JSON object; the message has the line's number.
    """
    return _read_lines(path, lambda line: dict(_loaded(line).items())) if path.exists() else []


def _read_lines(path: Path, parse: Callable[[bytes], _Parsed]) -> list[_Parsed]:
    complete, torn = _split_torn_line(path.read_bytes())
    if torn:
        logger.warning("%s: ignored an incomplete last line of %d bytes", path, len(torn))
    found = []
    for number, line in enumerate(complete.splitlines(), 1):
        try:
            found.append(parse(line))
        except (LmcompressError, ValueError, AttributeError, RecursionError) as exc:
            error = type(exc) if isinstance(exc, LmcompressError) else LmcompressError
            raise error(f"{path}, line {number}: {exc}") from exc
    return found


def _loaded(line: bytes) -> Any:
    """Returns a JSON value; raises ValueError on numbers that JSON does not know, as on others."""
    return json.loads(line, parse_float=_finite, parse_constant=_finite)


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is not a finite number")
    return value


def to_json(records: Iterable[Record]) -> str:
    """Returns records as a JSON array."""
    rows = [dataclasses.asdict(record) for record in records]
    return json.dumps(rows, indent=2, allow_nan=False)


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns rows as tidy CSV: a column for each key, empty where a row has None or no value."""
    rows = list(rows)
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_csv(records: Iterable[Record], path: Path, *, overwrite: bool = True) -> None:
    """Writes records as CSV; raises LmcompressError if the file exists and must not be replaced."""
    text = csv_text(map(dataclasses.asdict, records))
    with replace_atomically(path, overwrite=overwrite) as output:
        output.write(text.encode(errors="backslashreplace"))


def json_line(row: Mapping[str, Any]) -> bytes:
    """Returns a row as a line of JSON; raises ValueError on a number that JSON does not know."""
    return json.dumps(row, allow_nan=False).encode() + b"\n"


def _split_torn_line(lines: bytes) -> tuple[bytes, bytes]:
    """Splits off what follows the last newline, unless it is a whole JSON value."""
    end = lines.rfind(b"\n") + 1
    try:
        json.loads(lines[end:])
    except (ValueError, RecursionError):
        return lines[:end], lines[end:]
    return lines, b""


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    lines = path.read_bytes()
    complete, torn = _split_torn_line(lines)
    if torn:
        logger.warning("%s: removed an incomplete last line of %d bytes", path, len(torn))
        with path.open("rb+") as output:
            output.truncate(len(complete))
    elif complete and not complete.endswith(b"\n"):
        with path.open("ab") as output:
            output.write(b"\n")
