"""What does a byte from the middle of a file cost, and what do small segments cost in bits?

    python -m experiments.random_access [--quick]

A file is compressed with segments of several sizes. From random places 1,000 bytes are read through
`lmcompress.open`, which decodes the segment that they are in, and compared with the original.
"""

from __future__ import annotations

import hashlib
import io
import random
import statistics
import time
from typing import Any

import click

import lmcompress
from experiments.growth import TEXT
from experiments.support.records import result_folder, write_records
from experiments.support.tables import write_table
from lmcompress import corpora
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model

NAME = "random_access"
SIZES = {NO_MODEL: 30_000_000, DEFAULT_MODEL: 2_000_000}
QUICK_SIZES = {NO_MODEL: 300_000}
SEGMENTS = (1 << 16, 1 << 18, 1 << 20, 1 << 24)
READS, READ_BYTES = 7, 1000
NOTE = (
    f"Seconds: the median of {READS} reads of {READ_BYTES:,} bytes from random places, each after "
    "opening the file; the place of every segment is found by reading their headers. The least and "
    "the most are behind it. Starting Python is not included. The machine may have done other work."
)


def read_seconds(compressed: bytes, raw: bytes, count: int) -> list[float]:
    """Returns the seconds of reads from random places, after one that is not counted."""
    rng, seconds = random.Random(0), []
    for _ in range(count + 1):
        start = rng.randrange(len(raw) - READ_BYTES)
        began = time.perf_counter()
        with lmcompress.open(io.BytesIO(compressed)) as file:
            file.seek(start)
            found = file.read(READ_BYTES)
        seconds.append(time.perf_counter() - began)
        if found != raw[start : start + READ_BYTES]:
            raise click.ClickException(f"bytes from {start} on did not come back")
    return sorted(seconds[1:])


def row_of(raw: bytes, model: str, segment_bytes: int, reads: int) -> dict[str, Any]:
    """Returns the rate of a file, and what reading from its middle takes."""
    compressed = lmcompress.compress(raw, model, segment_bytes=segment_bytes)
    seconds = read_seconds(compressed, raw, reads)
    return {
        "model": model,
        "raw bytes": len(raw),
        "segment bytes": segment_bytes,
        "bits per byte": round(bits_per_byte(len(compressed), len(raw)), 4),
        "seconds": f"{statistics.median(seconds):.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f})",
    }


@click.command()
@click.option("--quick", is_flag=True, help="300 kB, into results/quick.")
def main(quick: bool) -> None:
    """Measures reading from the middle of a file, by segment size."""
    with result_folder(NAME, quick) as folder:
        text = b"".join(corpora.load(name) for name in (TEXT[:1] if quick else TEXT))
        records = []
        for model, size in (QUICK_SIZES if quick else SIZES).items():
            raw = (text * (size // len(text) + 1))[:size]
            for segment_bytes in SEGMENTS[:2] if quick else SEGMENTS:
                row = row_of(raw, model, segment_bytes, 2 if quick else READS)
                digest = hashlib.sha256(raw).hexdigest()
                fingerprint = load_model(model).fingerprint.hex()
                records.append({**row, "corpus_sha256": digest, "fingerprint": fingerprint})
                click.echo(str(row), err=True)
        write_records(NAME, records, folder)
        keys = ("model", "raw bytes", "segment bytes", "bits per byte", "seconds")
        write_table([{key: record[key] for key in keys} for record in records], folder, NOTE)


if __name__ == "__main__":
    main()
