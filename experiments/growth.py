"""How do time and memory grow with the file?

    python -m experiments.growth [--quick] [--model NAME]...

The command line in a process of its own for each row, so that its peak memory is that of one file;
times include the start. Texts are cut from one run of prose and mark-up that is repeated where it
ends, every file is decompressed and compared.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from experiments.common import folder_of, write_records, write_table
from lmcompress import corpora
from lmcompress.model_store import DEFAULT_MODEL, NO_MODEL
from lmcompress.records import append_rows, read_rows

NAME = "growth"
COLUMNS = (
    "model", "raw bytes", "compressed bytes", "compress s", "decompress s", "compress peak MB",
    "decompress peak MB",
)  # fmt: skip
TEXT = ("silesia/dickens", "silesia/reymont", "enwik/enwik8.head-4150000")
SIZES = {
    NO_MODEL: (100_000, 1_000_000, 3_000_000, 30_000_000),
    DEFAULT_MODEL: (100_000, 1_000_000, 3_000_000, 30_000_000),
}
QUICK_SIZES = {NO_MODEL: (10_000, 100_000), DEFAULT_MODEL: (10_000,)}
NOTE = (
    "The command line, a process for each file, one after the other; start included, kernels "
    "compiled. The machine may have done other work too: memory is exact, seconds are not."
)
_MEASURE = """
import resource, sys
from lmcompress.cli import main
status = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def run(arguments: list[str]) -> tuple[float, int]:
    """Runs a command of ours; returns its seconds and its peak memory in bytes."""
    started = time.perf_counter()
    command = [sys.executable, "-c", _MEASURE, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    return seconds, 1024 * int(result.stdout.split()[-1])  # Linux counts in KiB


def row_of(raw: bytes, model: str, folder: Path) -> dict[str, Any]:
    """Returns time and memory of one file, both ways."""
    source, frame, restored = (folder / name for name in ("raw", "raw.lmc", "restored"))
    source.write_bytes(raw)
    encode = run(["compress", str(source), "-f", "-m", model, "-o", str(frame)])
    decode = run(["decompress", str(frame), "-f", "-o", str(restored)])
    if restored.read_bytes() != raw:
        raise click.ClickException("the file did not come back")
    return {
        "model": model,
        "raw bytes": len(raw),
        "compressed bytes": frame.stat().st_size,
        "compress s": round(encode[0], 1),
        "decompress s": round(decode[0], 1),
        "compress peak MB": round(encode[1] / 1e6),
        "decompress peak MB": round(decode[1] / 1e6),
    }


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Returns what the table shows of a record."""
    return {column: row[column] for column in COLUMNS}


@click.command()
@click.option("--quick", is_flag=True, help="Up to 100 kB, into results/quick.")
@click.option("--model", "models", multiple=True, help="Only this one; other rows stay.")
def main(quick: bool, models: tuple[str, ...]) -> None:
    """Measures time and memory against the size of the file."""
    sizes = QUICK_SIZES if quick else SIZES
    names = TEXT[:1] if quick else TEXT
    text = b"".join(corpora.load(name) for name in names)
    folder_out = folder_of(NAME, quick=quick)
    kept = [row for row in read_rows(folder_out / "records.jsonl") if row["model"] not in models]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in models or sizes:
            for count in sizes[model]:
                raw = (text * (count // len(text) + 1))[:count]
                rows.append({**row_of(raw, model, Path(folder)), "texts": list(names)})
                click.echo(str(rows[-1]), err=True)
    write_records(NAME, rows, folder_out)
    if models:
        append_rows(kept, folder_out / "records.jsonl")
    write_table([shown(row) for row in read_rows(folder_out / "records.jsonl")], folder_out, NOTE)


if __name__ == "__main__":
    main()
