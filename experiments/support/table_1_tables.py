"""Table 1's markdown and CSV, made from its records and from the paper's published rows."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.support import modalities
from experiments.support.paper import LADDER
from experiments.support.records import Row
from experiments.support.table_1_intervals import (
    BLOCK_CHUNKS,
    Chunked,
    Interval,
    intervals,
)
from experiments.support.tables import markdown_of
from lmcompress.benchmark.harness import chunked_name
from lmcompress.benchmark.records import Record, csv_text, latest
from lmcompress.metrics import adjusted_compression_rate

PUBLISHED = Path(__file__).parents[1] / "published.tsv"
COLUMNS = ("text", modalities.EXTRACT, "images", "speech", "random")
PROJECTED_BYTES = 10**9
"""What the paper compresses of each modality."""
_CHUNKED = chunked_name("", modalities.CHUNK_BYTES)
_SCORED = " (scored)"


@dataclasses.dataclass(frozen=True)
class Line:
    """One compressor in one protocol."""

    is_chunked: bool
    compressor: str
    num_parameters: int
    is_published: bool
    rates: dict[str, float]
    """By modality, compressed over raw."""
    adjusted: dict[str, float]
    """Published ones; ours are computed where they are shown, in several ways."""
    scored: frozenset[str] = frozenset()
    """Modalities that were only scored, without a file."""
    raw_bytes: dict[str, int] = dataclasses.field(default_factory=dict)
    """Of the samples, by modality."""
    model_bytes: int = 0
    half_precision_bytes: int = 0
    half_widths: dict[str, float] = dataclasses.field(default_factory=dict)
    """Of the rates' 95 % intervals, by modality; of chunks only."""


def rate(record: Record) -> float:
    """Returns compressed over raw bytes, or the code length over the raw bits of a scored row."""
    if record.raw_compression_rate is not None:
        return record.raw_compression_rate
    assert record.quantized_code_length_bits is not None  # else neither a file nor a score
    return record.quantized_code_length_bits / (8 * record.raw_bytes)


def current(records: Sequence[Record]) -> list[Record]:
    """Returns the last record of each codec on the largest of its samples of each modality."""
    found: dict[tuple[str, str], Record] = {}
    for record in latest(records):
        place = record.codec, modalities.modality_of(record.corpus)
        if place not in found or record.raw_bytes >= found[place].raw_bytes:
            found[place] = record
    return list(found.values())


def lines_of(records: Sequence[Record], chunks: Sequence[Row] = ()) -> list[Line]:
    """Returns our own rows: whole before chunks, classical codecs, the ladder by size, others."""
    rows: dict[str, dict[str, Record]] = {}
    for record in current(records):
        rows.setdefault(record.codec, {})[modalities.modality_of(record.corpus)] = record
    known = intervals(chunks)
    lines = [_line(codec, row, known) for codec, row in rows.items()]
    return sorted(lines, key=_place)


def _place(line: Line) -> tuple[bool, bool, int]:
    is_other = line.num_parameters > 0 and not line.compressor.startswith(LADDER)
    return line.is_chunked, is_other, line.num_parameters


def _line(codec: str, row: dict[str, Record], known: Mapping[Chunked, Interval]) -> Line:
    first = next(iter(row.values()))
    return Line(
        codec.endswith(_CHUNKED),
        codec.removesuffix(_CHUNKED),
        first.num_parameters,
        False,
        {modality: rate(record) for modality, record in row.items()},
        {},
        frozenset(modality for modality, r in row.items() if r.compressed_bytes is None),
        {modality: record.raw_bytes for modality, record in row.items()},
        first.model_bytes,
        first.half_precision_model_bytes,
        {
            modality: known[codec, record.corpus].half_width
            for modality, record in row.items()
            if (codec, record.corpus) in known
        },
    )


def published_lines(path: Path = PUBLISHED) -> list[Line]:
    """Returns the paper's rows."""
    text = path.read_text("utf-8").splitlines()
    rows = csv.DictReader((line for line in text if not line.startswith("#")), delimiter="\t")
    return [
        Line(
            bool(row["chunk_bytes"]),
            row["compressor"],
            int(row["parameters"]),
            True,
            {name: float(row[f"raw_{name}"]) / 100 for name in modalities.MODALITIES},
            {name: float(row[f"adjusted_{name}"]) / 100 for name in modalities.MODALITIES},
        )
        for row in rows
    ]


def derived_texts(records: Sequence[Record], chunks: Sequence[Row] = ()) -> dict[str, str]:
    """Returns the text files made from the records and the rows of chunks, by name."""
    shown = current(records)
    lines = [*lines_of(records, chunks), *published_lines()]
    largest = _largest(shown)
    raw = [
        _head(line) | _cells(line, line.rates, largest)
        for whole in (False, True)
        for line in lines
        if line.is_chunked == whole
    ]
    adjusted = [_adjusted_row(line, largest) for line in lines if line.num_parameters]
    tables = [
        markdown_of(raw, f"## Raw compression rate\n\n{_raw_note(shown)}"),
        markdown_of(adjusted, f"## Adjusted compression rate\n\n{_ADJUSTED_NOTE}"),
    ]
    return {"summary.csv": csv_text(map(dataclasses.asdict, shown)), "table.md": "\n".join(tables)}


def _largest(records: Sequence[Record]) -> dict[str, Record]:
    """Returns a record of the largest sample of each modality."""
    by_size = sorted(records, key=lambda record: record.raw_bytes)
    return {modalities.modality_of(record.corpus): record for record in by_size}


def _cells(
    line: Line, rates: dict[str, float], largest: dict[str, Record]
) -> dict[str, str | None]:
    """Returns rates in percent by modality; marked, if they have no file, or a smaller sample."""
    cells: dict[str, str | None] = dict.fromkeys(COLUMNS)
    for name, found in rates.items():
        error = f" ± {100 * line.half_widths[name]:.1f}" if name in line.half_widths else ""
        mark = _SCORED if name in line.scored else ""
        size = line.raw_bytes.get(name)
        if size is not None and size < largest[name].raw_bytes:
            mark += f" ({size >> 10} KiB)"
        cells[name] = f"{100 * found:,.1f}{error}{mark}"
    return cells


def _head(line: Line) -> dict[str, Any]:
    return {
        "compressor": line.compressor,
        "chunks": f"{modalities.CHUNK_BYTES:,}" if line.is_chunked else "none",
        "source": "published" if line.is_published else "measured",
    }


def _adjusted_row(line: Line, largest: dict[str, Record]) -> dict[str, Any]:
    added = adjusted_compression_rate(0, line.half_precision_bytes, PROJECTED_BYTES)
    ours = {name: found + added for name, found in line.rates.items()}
    shown = line.adjusted if line.is_published else ours
    return {
        **_head(line),
        "source": "published" if line.is_published else "projected",
        **_cells(line, shown, largest),
    }


def _raw_note(records: Sequence[Record]) -> str:
    versions = sorted({f"{r.codec} {r.codec_version}" for r in records if not r.num_parameters
                       and not r.codec.endswith(_CHUNKED) and r.codec != "stored"})  # fmt: skip
    return (
        "Compressed over raw size in percent, lower is better. Every size is that of a file that "
        f"was decompressed and compared, but for cells marked{_SCORED}: there the model would make "
        "the sample larger, so a file stores it, and the cell has the exact code length. Chunks "
        "are compressed alone; models read them without the adaptive stage. A classical codec's "
        "chunk is a file of its own, with a header of its own; a model's chunks share one, and the "
        "coder's stream. ±: half of the 95 % interval of the rate (bootstrap over blocks of "
        f"{BLOCK_CHUNKS} neighbouring chunks).\n\n{_samples_note(records)} extract is text of the "
        "kind that the ladder's models were trained on, of other pages. **Published** rows are the "
        "paper's "
        "(Delétang et al., 2024, Table 1): 1 GB each of enwik9, ImageNet patches, LibriSpeech and "
        "random bytes; its Transformers were trained on enwik8, the first tenth of enwik9.\n\n"
        f"Versions: {'; '.join(versions)}."
    )


def _samples_note(records: Sequence[Record]) -> str:
    """Returns what was read, in words."""
    largest = _largest(records)
    named = ", ".join(f"{name} {largest[name].corpus}" for name in COLUMNS if name in largest)
    note = f"Samples (corpus@offset+bytes): {named}."
    sizes = {(modalities.modality_of(r.corpus), r.raw_bytes) for r in current(records)}
    if len(sizes) == len(largest):
        return note
    return (
        f"{note} A cell with a size of its own is of the front of that sample, so compare it only "
        "with others of that size."
    )


_ADJUSTED_NOTE = (
    f"The raw rate plus the model's bytes, two for each parameter, over {PROJECTED_BYTES // 10**9} "
    "GB, in percent; without a model it is the raw rate. 1 GB is what the paper compresses. Our "
    "samples are smaller than the larger models, which would add more than the sample has bytes, "
    "so the rates measured on them are taken for those of 1 GB: **projected**, not measured. What "
    "a model adds to the sample itself is in summary.csv."
)
