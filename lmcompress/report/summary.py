"""What the page of results opens with: the headline table, and the findings in sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lmcompress.benchmark.records import Record
from lmcompress.errors import LmcompressError
from lmcompress.report import provenance
from lmcompress.report.results import Experiment, Figure, Results
from lmcompress.report.sentences import Finding, findings, records_of
from lmcompress.report.speeds import LABELS, Speeds, speeds_of_rows
from lmcompress.report.tables import ABSENT, by_total, markdown_table
from lmcompress.report.totals import codecs_on_all_files, model_bytes, rate_of_all

_RATES, _SPEEDS = "default_against_classical", "speed"


@dataclasses.dataclass(frozen=True)
class Summary:
    """What stands above all sections."""

    num_experiments: int
    num_records: int
    num_decoded: int
    last_date: str
    table: str
    """Markdown; empty without records of several codecs."""
    figures: Sequence[tuple[Experiment, Figure]]
    findings: Sequence[Finding]


def summary_of(results: Results) -> Summary:
    """Returns the summary of what is there; a folder may hold any experiments."""
    rows = [row for one in results.experiments for row in one.rows]
    speeds = _named(results, _SPEEDS)
    return Summary(
        len(results.experiments),
        len(rows),
        provenance.num_decoded(rows),
        provenance.last_date(rows),
        _headline(_named(results, _RATES), speeds),
        [(speeds, figure) for figure in speeds.figures] if speeds else [],
        findings(results),
    )


def _named(results: Results, name: str) -> Experiment | None:
    return next((one for one in results.experiments if one.name == name), None)


def _headline(rates: Experiment | None, speeds: Experiment | None) -> str:
    """Returns a row for each codec, best first, and what must be known to read them."""
    records = records_of(rates) if rates else []
    if not records:
        return ""
    try:
        timed = speeds_of_rows(speeds.rows) if speeds else None
    except LmcompressError:  # a part of a run, without codecs
        timed = None
    num_files = len({record.corpus for record in records})
    header = [
        "codec",
        f"bits per byte, {num_files} files",
        "with the model's bytes",
        "compress kB/s",
        "decompress kB/s",
    ]
    whole = codecs_on_all_files(records)
    codecs = [codec for codec in by_total(records) if codec in whole and codec != "stored"]
    table = markdown_table(header, [_row(codec, records, timed) for codec in codecs])
    return f"{table}\n\n{_note(records, timed)}"


def _row(codec: str, records: Sequence[Record], speeds: Speeds | None) -> list[str]:
    found = [row for row in speeds.rows if row.codec == codec] if speeds else []
    kilobytes = [found[0].compress, found[0].decompress] if found else []
    cells = [
        f"{rate_of_all(records, codec):.3f}",
        f"{rate_of_all(records, codec, model_bytes(records, codec)):.3f}",
        *([f"{speed:,.0f}" for speed in kilobytes] or [ABSENT] * 2),
    ]
    if codec in LABELS:
        return [f"**{cell}**" for cell in (LABELS[codec], *cells)]
    return [codec, *cells]


def _note(records: Sequence[Record], speeds: Speeds | None) -> str:
    sizes = {record.corpus: record.raw_bytes for record in records}
    note = (
        "`-m none` is lmcompress without its GPT. "
        f"Sizes: {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB together."
    )
    if speeds:
        note += (
            f" Speeds: {speeds.raw_bytes:,} bytes of {speeds.corpus} on {speeds.machine}; "
            f"lmcompress uses {speeds.threads} threads, classical codecs one."
        )
    return note
