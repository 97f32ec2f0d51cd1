"""How do time and memory grow with the size of the file?

    python -m experiments.growth [--quick] [--model NAME]... [--raw-bytes N]...

Each row is the command line in a process of its own, so that its peak memory is that of one file;
times include the start. Texts are cut from one run of prose and mark-up that is repeated as often
as needed, and every file is decompressed and compared. A GPT adds the same memory to files of all
sizes, so the largest, of two segments, goes without: it would take the default model two hours.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from experiments.support.records import Row, provenance, replace_rows, result_folder, with_machine
from experiments.support.tables import markdown_of, write_texts
from lmcompress import corpora
from lmcompress.benchmark.records import read_rows
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model

NAME = "growth"
COLUMNS = (
    "model", "raw bytes", "compressed bytes", "compress s", "decompress s", "compress peak MB",
    "decompress peak MB",
)  # fmt: skip
TEXT = ("silesia/dickens", "silesia/reymont", "enwik/enwik8.head-4150000")
SIZES = {
    NO_MODEL: (100_000, 1_000_000, 3_000_000, 30_000_000),
    DEFAULT_MODEL: (100_000, 1_000_000, 3_000_000),
}
QUICK_SIZES = {NO_MODEL: (10_000, 100_000), DEFAULT_MODEL: (10_000,)}
NOTE = (
    "The command line, a process for each file, one after the other; start included, kernels "
    "compiled. Segments of 16 MiB are coded at once, one on each core. The machine may have done "
    "other work too: memory is exact, seconds are not."
)
# Not the peak of getrusage, which includes the parent's memory before exec.
_MEASURE = """
import sys
from pathlib import Path
from lmcompress.cli.main import main
status = main(sys.argv[1:])
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
sys.exit(status)
"""


def run(arguments: list[str]) -> tuple[float, int]:
    """Runs a command of lmcompress; returns its seconds and its peak memory in bytes."""
    started = time.perf_counter()
    command = [sys.executable, "-c", _MEASURE, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    return seconds, 1024 * int(result.stdout.split()[-1])  # in KiB


def row_of(raw: bytes, model: str) -> Row:
    """Returns time and memory of one file, both ways, after comparing it."""
    with tempfile.TemporaryDirectory() as folder:
        source, frame, restored = (Path(folder, name) for name in ("raw", "lmc", "restored"))
        source.write_bytes(raw)
        there, peak_there = run(["compress", str(source), "-m", model, "-o", str(frame)])
        back, peak_back = run(["decompress", str(frame), "-o", str(restored)])
        if restored.read_bytes() != raw:
            raise click.ClickException("the file did not come back")
        return {
            "model": model,
            "raw bytes": len(raw),
            "compressed bytes": frame.stat().st_size,
            "compress s": round(there, 1),
            "decompress s": round(back, 1),
            "compress peak MB": round(peak_there / 1e6),
            "decompress peak MB": round(peak_back / 1e6),
            **provenance(NAME),
        }


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of(rows, with_machine(NOTE, rows), COLUMNS)}


@click.command()
@click.option("--quick", is_flag=True, help="Up to 100 kB, into results/quick.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice(list(SIZES)),
    help="Only this one; other rows stay.",
)
@click.option("--raw-bytes", "counts", multiple=True, type=int, help="Only this size.")
def main(quick: bool, models: tuple[str, ...], counts: tuple[int, ...]) -> None:
    """Measures time and memory against the size of the file."""
    sizes = QUICK_SIZES if quick else SIZES
    names = TEXT[:1] if quick else TEXT
    with result_folder(NAME, quick) as folder:
        text = b"".join(corpora.load(name) for name in names)
        for model in models or sizes:
            for count in sizes[model]:
                if counts and count not in counts:
                    continue
                raw = (text * (count // len(text) + 1))[:count]
                row = row_of(raw, model) | {
                    "texts": list(names),
                    "corpus_sha256": hashlib.sha256(raw).hexdigest(),
                    "fingerprint": load_model(model).fingerprint.hex(),
                }
                click.echo(str(row), err=True)
                rows = with_row(read_rows(folder / "records.jsonl"), row)
                replace_rows(rows, folder / "records.jsonl")
                write_texts(derived_texts(rows), folder)


def with_row(rows: Sequence[Row], new: Row) -> list[Row]:
    """Returns the rows in order, with the new one in place of the one that it replaces.

    Rows of other weights with the same model name are dropped.
    """
    same = new["fingerprint"]
    rows = [r for r in rows if r["model"] != new["model"] or r.get("fingerprint") == same]
    order = [(model, count) for model in SIZES for count in (*QUICK_SIZES[model], *SIZES[model])]
    by_key = {(row["model"], row["raw bytes"]): row for row in [*rows, new]}
    return [by_key[key] for key in dict.fromkeys(order) if key in by_key]


if __name__ == "__main__":
    main()
