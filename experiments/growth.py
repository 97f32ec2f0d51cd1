"""How do time and memory grow with the size of the file?

    python -m experiments.growth [--quick] [--model NAME]... [--raw-bytes N]...

Each row is the command line in a process of its own, so that its peak memory is that of one file;
times include the start. Texts are cut from one run of prose and mark-up that is repeated as often
as needed, and every file is decompressed and compared. Files that were compressed before a run was
interrupted are kept in runs/growth: 30 MB take the default model an hour or more.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from experiments.support.records import RESULTS, Row, provenance, replace_rows, result_folder
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
    DEFAULT_MODEL: (100_000, 1_000_000, 3_000_000, 30_000_000),
}
QUICK_SIZES = {NO_MODEL: (10_000, 100_000), DEFAULT_MODEL: (10_000,)}
NOTE = (
    "The command line, a process for each file, one after the other; start included, kernels "
    "compiled. The machine may have done other work too: memory is exact, seconds are not."
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


def compressed(raw: bytes, model: str, frame: Path) -> Row:
    """Compresses a file, unless an interrupted run did, and returns seconds and peak memory."""
    about = frame.with_suffix(".json")
    if about.exists():
        return Row(json.loads(about.read_text("utf-8")))
    source = frame.with_suffix(".raw")
    source.write_bytes(raw)
    seconds, peak = run(["compress", str(source), "-f", "-m", model, "-o", str(frame)])
    row = {
        "compressed bytes": frame.stat().st_size,
        "compress s": round(seconds, 1),
        "compress peak MB": round(peak / 1e6),
        "compress git_commit": provenance(NAME)["git_commit"],
    }
    about.write_text(json.dumps(row), "utf-8")
    source.unlink()
    return row


def row_of(raw: bytes, model: str, folder: Path) -> Row:
    """Returns time and memory of one file, both ways; leaves the folder empty."""
    frame = folder / f"{model}-{len(raw)}.lmc"
    encoded = compressed(raw, model, frame)
    restored = frame.with_suffix(".restored")
    seconds, peak = run(["decompress", str(frame), "-f", "-o", str(restored)])
    if restored.read_bytes() != raw:
        raise click.ClickException("the file did not come back")
    for path in (frame, frame.with_suffix(".json"), restored):
        path.unlink()
    return {
        "model": model,
        "raw bytes": len(raw),
        **encoded,
        "decompress s": round(seconds, 1),
        "decompress peak MB": round(peak / 1e6),
        **provenance(NAME),
    }


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of(rows, NOTE, COLUMNS)}


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
        kept = RESULTS.parent / "runs" / NAME
        kept.mkdir(parents=True, exist_ok=True)
        for model in models or sizes:
            for count in sizes[model]:
                if counts and count not in counts:
                    continue
                raw = (text * (count // len(text) + 1))[:count]
                row = row_of(raw, model, kept) | {
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

    Rows of other weights with the same model name are dropped; the first rows did not name theirs.
    """
    same = new["fingerprint"]
    rows = [r for r in rows if r["model"] != new["model"] or r.get("fingerprint", same) == same]
    order = [(model, count) for model in SIZES for count in (*QUICK_SIZES[model], *SIZES[model])]
    by_key = {(row["model"], row["raw bytes"]): row for row in [*rows, new]}
    return [by_key[key] for key in dict.fromkeys(order) if key in by_key]


if __name__ == "__main__":
    main()
