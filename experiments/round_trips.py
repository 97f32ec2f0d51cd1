"""Does every file come back, bit for bit, through the command line?

    python -m experiments.round_trips [--quick] [--processes N]

Files of Canterbury, Calgary, other languages, XML, an image, a recording, random bytes, nothing,
one byte and zeros are compressed and decompressed by `lmcompress` processes with one thread each;
sizes and SHA-256 go to results/round_trips. A file that was done with the same model is not done
again, so the run can be stopped at any time. The table shows one model, until another one has as
many files.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import click
import numpy as np

from experiments.support.records import Row, RowFile, provenance, result_folder
from experiments.support.tables import write_texts
from lmcompress import corpora
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import DEFAULT_MODEL, load_model
from lmcompress.report.tables import markdown_table

NAME = "round_trips"
PREFIXES = ("canterbury/", "calgary/", "i18n/")
SINGLE = ("silesia/xml", "kodak/kodim01.png", "librispeech/1089-134691-0000.flac")
MADE: dict[str, Callable[[], bytes]] = {
    "random-1000000": lambda: np.random.default_rng(0).integers(0, 256, 10**6, np.uint8).tobytes(),
    "empty": lambda: b"",
    "one-byte": lambda: b"x",
    "zeros-10000000": lambda: bytes(10**7),
}
QUICK = ("canterbury/xargs.1", "canterbury/grammar.lsp", "empty", "one-byte")


def all_names() -> list[str]:
    """Returns the names of the files to try."""
    return [*(n for p in PREFIXES for n in corpora.names(p)), *SINGLE, *MADE]


def read(name: str) -> bytes:
    """Returns a corpus or a made-up file."""
    return MADE[name]() if name in MADE else corpora.load(name)


def lmcompress(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs the command line in a process of its own."""
    return subprocess.run([sys.executable, "-m", "lmcompress", *arguments], check=True, **options)


def round_trip(names: Sequence[str], fingerprint: str) -> list[dict[str, Any]]:
    """Compresses and decompresses some files by two commands; returns a row for each."""
    with tempfile.TemporaryDirectory() as folder:
        made, back = Path(folder, "made"), Path(folder, "back")
        made.mkdir()
        back.mkdir()
        paths = [made / name.replace("/", "--") for name in names]
        for name, path in zip(names, paths, strict=True):
            path.write_bytes(read(name))
        started = time.perf_counter()
        lmcompress("compress", "-q", "--threads", "1", *map(str, paths))
        compressed = [path.with_name(path.name + ".lmc") for path in paths]
        moved = [path.rename(back / path.name) for path in compressed]
        middle = time.perf_counter()
        lmcompress("decompress", "-q", "--threads", "1", *map(str, moved))
        ended = time.perf_counter()
        print(f"{len(names)} files: {middle - started:.0f} s, {ended - middle:.0f} s", flush=True)
        return [
            compare(name, path, frame, fingerprint)
            for name, path, frame in zip(names, paths, moved, strict=True)
        ]


def compare(name: str, path: Path, frame: Path, fingerprint: str) -> dict[str, Any]:
    """Returns the row of one file."""
    raw, decoded = path.read_bytes(), frame.with_suffix("").read_bytes()
    return {
        "corpus": name,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "decoded_sha256": hashlib.sha256(decoded).hexdigest(),
        "raw_bytes": len(raw),
        "compressed_bytes": frame.stat().st_size,
        "round_trip_ok": raw == decoded,
        "fingerprint": fingerprint,
    }


def batches(names: Sequence[str], limit: int = 1_500_000) -> list[list[str]]:
    """Cuts names into groups of similar raw size, large files first."""
    sizes = sorted(((len(read(name)), name) for name in names), reverse=True)
    groups: list[list[str]] = [[]]
    total = 0
    for size, name in sizes:
        if groups[-1] and total + size > limit:
            groups.append([])
            total = 0
        groups[-1].append(name)
        total += size
    return groups


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": table(rows_to_show(rows))}


def table(rows: Sequence[Row]) -> str:
    """Returns the rows as markdown."""
    header = ["file", "raw bytes", "compressed bytes", "bits per byte", "same bytes"]
    cells = [
        [
            row["corpus"],
            str(row["raw_bytes"]),
            str(row["compressed_bytes"]),
            f"{bits_per_byte(row['compressed_bytes'], row['raw_bytes']):.4f}",
            "yes" if row["round_trip_ok"] else "NO",
        ]
        for row in rows
    ]
    text = markdown_table(header, cells, alignment="lrrrl")
    return f"{text}\n\nThe fingerprint of the model: {rows[0]['fingerprint']}\n"


def rows_to_show(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows of the model with the most files, the last measured of several, by name."""
    counts = Counter(row["fingerprint"] for row in reversed(rows))
    [(shown, _)] = counts.most_common(1)
    of_one = [row for row in rows if row["fingerprint"] == shown]
    return sorted(of_one, key=lambda row: str(row["corpus"]))


@click.command()
@click.option("--quick", is_flag=True, help="Four small files, into results/quick.")
@click.option("--processes", default=2, show_default=True, help="At a time, one thread each.")
def main(quick: bool, processes: int) -> None:
    """Compresses and decompresses every file through the command line."""
    with result_folder(NAME, quick) as folder:
        fingerprint = load_model(DEFAULT_MODEL).fingerprint.hex()
        file = RowFile(folder / "records.jsonl")
        done = {row["corpus"] for row in file.matching({"fingerprint": fingerprint})}
        names = [name for name in (QUICK if quick else all_names()) if name not in done]
        with ThreadPoolExecutor(processes) as pool:
            jobs = [
                pool.submit(round_trip, batch, fingerprint) for batch in batches(names) if batch
            ]
            for job in as_completed(jobs):
                for row in job.result():
                    file.append({**row, **provenance(NAME)})
        write_texts(derived_texts(file.rows), folder)
        failed = [row["corpus"] for row in file.rows if not row["round_trip_ok"]]
        if failed:
            raise click.ClickException(f"came back changed: {', '.join(failed)}")
        tried = len(file.matching({"fingerprint": fingerprint}))
        click.echo(f"{tried} files came back bit for bit", err=True)


if __name__ == "__main__":
    main()
