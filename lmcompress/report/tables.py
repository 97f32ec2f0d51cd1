"""Markdown tables made from records: rates in one, speeds in another.

Rates are the same on every machine; speeds belong to the machine that the table names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lmcompress.benchmark.records import Record, latest
from lmcompress.corpora import split_range
from lmcompress.errors import LmcompressError
from lmcompress.report.totals import codecs_on_all_files, rate_of_all

FLATTERING_BYTES = 100_000
"""Below this, fast codecs look faster than they are, as they are timed many times on the same
bytes: gzip, bzip2 and xz decompressed 12 kB two to three times as fast as 12 kB that were new.
(Presumably the processor learns the branches.)"""
ABSENT = "–"  # noqa: RUF001 - an en dash
"""The text of a cell without a value."""


def rate_table(records: Iterable[Record]) -> str:
    """Returns bits per byte of decoded files, the best of each file in bold.

    A row for each codec, best total first, and a column for each file; for a single file, columns
    with sizes and rates. Rows that were only scored are left out.
    """
    coded = [record for record in latest(records) if record.compressed_bytes is not None]
    if not coded:
        raise LmcompressError("no record has compressed bytes: measure before making a table")
    corpora = list(dict.fromkeys(record.corpus for record in coded))
    table = _list_of_one(coded) if len(corpora) == 1 else _matrix(coded, corpora)
    return f"{table}\n\n{_notes(coded, corpora)}"


def speed_table(records: Iterable[Record]) -> str:
    """Returns kB/s (1,000 raw bytes a second) both ways, one table for each machine.

    `stored` is left out: it returns the bytes that it was given and copies nothing. If some files
    are too small to time fast codecs on, a note says so.
    """
    timed = [record for record in latest(records) if _is_timed(record)]
    if not timed:
        raise LmcompressError("no record has times: measure before making a table")
    tables = [
        f"Machine: {machine}.\n\n" + _speeds([row for row in timed if row.machine == machine])
        for machine in dict.fromkeys(record.machine for record in timed)
    ]
    if any(record.raw_bytes < FLATTERING_BYTES for record in timed):
        tables.append(
            f"Speeds on files of less than {FLATTERING_BYTES:,} bytes overstate fast codecs, by up "
            "to three times."
        )
    return "\n\n".join(tables)


def replace_between_markers(text: str, name: str, table: str) -> str:
    """Returns `text` with `table` between `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises:
      LmcompressError: Unless each marker is there once, in this order.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise LmcompressError(
            f"found {begin!r} {text.count(begin)} times and {end!r} {text.count(end)} times, "
            "expected each once, in this order: correct the markers"
        )
    before, after = text.split(begin)[0], text.split(end)[1]
    return f"{before}{begin}\n{table.strip()}\n{end}{after}"


def corpus_labels(corpora: Iterable[str]) -> dict[str, str]:
    """Returns a short name for each corpus: without folder and range, if that is unambiguous."""
    labels = {corpus: split_range(corpus)[0].rpartition("/")[2] or corpus for corpus in corpora}
    names = list(labels.values())
    return {
        corpus: label if names.count(label) == 1 else corpus for corpus, label in labels.items()
    }


def slice_labels(corpora: Iterable[str]) -> dict[str, str]:
    """Returns a short name for each corpus, with its range if it is a part."""
    ranges = {corpus: corpus.partition("@")[2] for corpus in corpora}
    labels = corpus_labels(ranges)
    return {
        corpus: f"{labels[corpus]}@{found}"
        if found and labels[corpus] != corpus
        else labels[corpus]
        for corpus, found in ranges.items()
    }


def range_note(corpus: str) -> str:
    """Returns where a part of a corpus begins, in words; "" for a whole one."""
    _, byte_range = split_range(corpus)
    return f"from offset {byte_range[0]:,}" if byte_range else ""


def by_total(records: Iterable[Record]) -> list[str]:
    """Returns the codecs, best first by total bits over total bytes.

    A codec without a result for some file has no total and comes last.
    """
    totals = _totals(records)
    return sorted(totals, key=lambda codec: (totals[codec] is None, totals[codec] or 0.0))


def _totals(records: Iterable[Record]) -> dict[str, float | None]:
    """Returns bits per byte over all files, or None for a codec without a result for one."""
    records = list(records)
    whole = codecs_on_all_files(records)
    is_empty = not any(record.raw_bytes for record in records)
    return {
        codec: rate_of_all(records, codec) if codec in whole and not is_empty else None
        for codec in dict.fromkeys(record.codec for record in records)
    }


def _matrix(records: Sequence[Record], corpora: Sequence[str]) -> str:
    labels, totals = corpus_labels(corpora), _totals(records)
    cells = {(record.codec, record.corpus): record.bits_per_byte for record in records}
    codecs = by_total(records)
    columns = [[cells.get((codec, corpus)) for codec in codecs] for corpus in corpora]
    columns.append([totals[codec] for codec in codecs])
    shown = [_best_in_bold(column) for column in columns]
    header = ["bits per byte", *(labels[corpus] for corpus in corpora), "all"]
    return markdown_table(header, zip(codecs, *shown, strict=True))


def _list_of_one(records: Sequence[Record]) -> str:
    rows = sorted(records, key=lambda record: record.compressed_bytes or 0)
    columns = [
        [f"{record.compressed_bytes:,}" for record in rows],
        _best_in_bold([record.bits_per_byte for record in rows]),
        _best_in_bold([record.raw_compression_rate for record in rows], digits=4),
        _best_in_bold([record.adjusted_compression_rate for record in rows], digits=4),
    ]
    header = ["codec", "compressed bytes", "bits per byte", "raw rate", "adjusted rate"]
    return markdown_table(header, zip((record.codec for record in rows), *columns, strict=True))


def _notes(records: Sequence[Record], corpora: Sequence[str]) -> str:
    labels = corpus_labels(corpora)
    sizes = {record.corpus: record.raw_bytes for record in records}
    notes = {corpus: f" ({range_note(corpus)})" if range_note(corpus) else "" for corpus in corpora}
    files = ", ".join(f"{labels[name]} {sizes[name]:,}{notes[name]}" for name in corpora)
    versions = dict.fromkeys(f"{record.codec}: {record.codec_version}" for record in records)
    lines = [f"Raw bytes: {files}."]
    if len(corpora) > 1:
        lines.append("all: bits of all files over bytes of all files.")
    elif any(record.model_bytes for record in records):
        lines.append("The adjusted rate counts the model's stored bytes as if sent along.")
    return "\n".join([*lines, f"Versions: {'; '.join(versions)}."])


def _is_timed(record: Record) -> bool:
    return record.compress_seconds is not None and record.codec != "stored"


def _speeds(records: Sequence[Record]) -> str:
    num_corpora = len({record.corpus for record in records})
    rows = []
    for codec in dict.fromkeys(record.codec for record in records):
        row = [record for record in records if record.codec == codec]
        threads = sorted({record.num_threads for record in row})
        rows.append(
            (
                codec,
                _kilobytes_per_second(row, lambda record: record.compress_seconds),
                _kilobytes_per_second(row, lambda record: record.decompress_seconds),
                ", ".join(dict.fromkeys(record.device for record in row)),
                ", ".join(str(count) for count in threads),
                f"{len(row)} of {num_corpora}",
            )
        )
    return markdown_table(
        ["codec", "compress kB/s", "decompress kB/s", "device", "threads", "files"], rows
    )


def _kilobytes_per_second(
    row: Sequence[Record], seconds_of: Callable[[Record], float | None]
) -> str:
    seconds = sum(seconds_of(record) or 0.0 for record in row)
    raw_bytes = sum(record.raw_bytes for record in row)
    if not seconds or not raw_bytes:
        return ABSENT
    speed = raw_bytes / 1000 / seconds
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"


def _best_in_bold(column: Sequence[float | None], digits: int = 3) -> list[str]:
    best = min((value for value in column if value is not None), default=None)
    return [_cell(value, best, digits) for value in column]


def _cell(value: float | None, best: float | None, digits: int) -> str:
    if value is None:
        return ABSENT
    return f"**{value:.{digits}f}**" if value == best else f"{value:.{digits}f}"


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], alignment: str = ""
) -> str:
    """Returns a table without a last newline.

    Args:
      header: Names of the columns.
      rows: Cells, as text.
      alignment: "l" or "r" for each column; by default the first is left, the others right.
    """
    alignment = alignment or "l" + "r" * (len(header) - 1)
    lines = [header, ["---:" if side == "r" else "---" for side in alignment], *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )
