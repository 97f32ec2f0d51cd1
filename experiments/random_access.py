"""What does a byte from the middle of a file cost, and what do small segments cost in bits?

    python -m experiments.random_access [--quick]

A file is compressed with segments of several sizes. From random places 1,000 bytes are read through
`lmcompress.open`, which decodes the segment that they are in, and compared with the original. A row
that records.jsonl already has is not measured again.
"""

from __future__ import annotations

import functools
import hashlib
import io
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import click

import lmcompress
from experiments.growth import TEXT
from experiments.support.records import Row, append_missing, current, result_folder, with_machine
from experiments.support.tables import markdown_of, write_texts
from lmcompress import corpora
from lmcompress.benchmark.records import read_rows
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model

NAME = "random_access"
SIZES = {NO_MODEL: 30_000_000, DEFAULT_MODEL: 2_000_000}
SEGMENTS = {
    NO_MODEL: (1 << 16, 1 << 18, 1 << 20, 1 << 24),
    DEFAULT_MODEL: (1 << 16, 1 << 18, 1 << 20),
}
QUICK_SIZES, QUICK_SEGMENTS = {NO_MODEL: 300_000}, {NO_MODEL: (1 << 16,)}
READS, READ_BYTES = 5, 1000
MOST_DECODED = 1 << 21
"""Raw bytes to decode for the reads of a row: fewer reads where segments are large."""
NOTE = (
    f"Seconds: the median of up to {READS} reads of {READ_BYTES:,} bytes from random places, each "
    "after opening the file, least and most behind it; the headers of the segments before are read "
    "to find the place. Starting Python is not included. The machine may have done other work."
)


def read_seconds(compressed: bytes, raw: bytes, count: int) -> list[float]:
    """Returns the seconds of reads from random places."""
    rng, seconds = random.Random(0), []
    for _ in range(count):
        start = rng.randrange(len(raw) - READ_BYTES)
        began = time.perf_counter()
        with lmcompress.open(io.BytesIO(compressed)) as file:
            file.seek(start)
            found = file.read(READ_BYTES)
        seconds.append(time.perf_counter() - began)
        if found != raw[start : start + READ_BYTES]:
            raise click.ClickException(f"bytes from {start} on did not come back")
    return sorted(seconds)


def row_of(raw: bytes, model: str, segment_bytes: int) -> dict[str, Any]:
    """Returns the rate of a file, and what reading from its middle takes."""
    compressed = lmcompress.compress(raw, model, segment_bytes=segment_bytes)
    reads = max(1, min(READS, MOST_DECODED // segment_bytes))
    seconds = read_seconds(compressed, raw, reads)
    return {
        "model": model,
        "raw bytes": len(raw),
        "segment bytes": segment_bytes,
        "bits per byte": round(bits_per_byte(len(compressed), len(raw)), 4),
        "seconds": f"{statistics.median(seconds):.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})",
        "reads": reads,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
    }


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    keys = ("model", "raw bytes", "segment bytes", "bits per byte", "seconds", "reads")
    shown = current(rows)
    return {"table.md": markdown_of(shown, with_machine(NOTE, shown), keys)}


@click.command()
@click.option("--quick", is_flag=True, help="300 kB, into results/quick.")
def main(quick: bool) -> None:
    """Measures reading from the middle of a file, by segment size."""
    sizes, segments = (QUICK_SIZES, QUICK_SEGMENTS) if quick else (SIZES, SEGMENTS)
    with result_folder(NAME, quick) as folder:
        text = b"".join(corpora.load(name) for name in (TEXT[:1] if quick else TEXT))
        for name, size in sizes.items():
            raw, model = (text * (size // len(text) + 1))[:size], load_model(name)
            rows = {
                f"{name}, {size}, {segment_bytes}": functools.partial(
                    row_of, raw, name, segment_bytes
                )
                for segment_bytes in segments[name]
            }
            append_missing(folder / "records.jsonl", NAME, model, rows)
            write_texts(derived_texts(read_rows(folder / "records.jsonl")), folder)


if __name__ == "__main__":
    main()
