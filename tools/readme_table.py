"""The table of the README: rates with and without the model's bytes, and speeds.

Everything is computed from the records; a model's bytes are counted once for all files.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmcompress.benchmark.records import Record
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.report.speeds import LABELS, STAGE, Speeds
from lmcompress.report.tables import markdown_table
from lmcompress.report.totals import break_even_bytes, model_bytes, rate_of_all

NAME = "headline"
CODECS = (DEFAULT_MODEL, "zpaq-5", STAGE, "xz-9e", "zstd-22", "gzip-9")
FILES = {
    "novel": "calgary/book1",
    "Wikipedia": "enwik/enwik8.head-4150000@3000000+1000000",
    "Python": "code/python-3.11.7-stdlib.py.txt@0+1000000",
    "JSON": "logs/us-sba-data-catalog.json",
}
"""Column heading -> corpus."""
RIVALS = ("xz-9e", "zpaq-5")


def markdown(rates: Sequence[Record], speeds: Speeds) -> str:
    """Returns the table and what must be known to read it."""
    num_files = len({record.corpus for record in rates})
    header = [
        "bits per byte",
        *FILES,
        f"{num_files} files",
        _with_model(num_files),
        "compress kB/s",
        "decompress kB/s",
    ]
    table = markdown_table(header, (_row(codec, rates, speeds) for codec in CODECS))
    return f"{table}\n\n{_note(rates, speeds)}"


def _with_model(num_files: int) -> str:
    """Returns the heading of the column that counts the model's bytes."""
    return f"{num_files} files + model"


def _row(codec: str, rates: Sequence[Record], speeds: Speeds) -> list[str]:
    speed = next(row for row in speeds.rows if row.codec == codec)
    found = [record for record in rates if record.codec == codec]
    of_file = {record.corpus: record.bits_per_byte for record in found}
    columns = [
        *(of_file[corpus] for corpus in FILES.values()),
        rate_of_all(found, codec),
        rate_of_all(found, codec, model_bytes(found, codec)),
    ]
    cells = [f"{rate:.3f}" for rate in columns]
    return [LABELS.get(codec, codec), *cells, _speed(speed.compress), _speed(speed.decompress)]


def _speed(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.0f}"


def _note(rates: Sequence[Record], speeds: Speeds) -> str:
    ours = [record for record in rates if record.codec == DEFAULT_MODEL]
    raw = sum(record.raw_bytes for record in ours)
    sizes = " and ".join(
        f"with {rival} at {break_even_bytes(rates, DEFAULT_MODEL, rival) / 1e6:.0f} MB"
        for rival in RIVALS
    )
    kinds = ", ".join(f"{name} is `{corpus}`" for name, corpus in FILES.items())
    return (
        "Lower is better; 8 is the uncompressed file. **The model's bytes are not included**, "
        f'except in "{_with_model(len(ours))}", which adds the '
        f"{model_bytes(rates, DEFAULT_MODEL):,} bytes of {DEFAULT_MODEL} once to the "
        f"{raw / 1e6:.1f} MB of all files. Counted that way, lmcompress breaks even {sizes} "
        "of such data.\n\n"
        f"The files, as `lmcompress bench` names them: {kinds}; `@START+LENGTH` is a part of "
        f"a file, in bytes. Speeds: {speeds.raw_bytes:,} bytes of `{speeds.corpus}` on "
        f"{speeds.machine}; {speeds.threads} threads, one for classical codecs."
    )
