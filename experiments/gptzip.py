"""How do gptzip and lmcompress compare on the same weights and the same text?

    python -m experiments.gptzip [--raw-bytes N]

SmolLM2-135M from one file, the first bytes of alice29.txt; both decompress and compare. gptzip
(Morris, 2024) needs an older transformers, so it runs in an environment of its own, which the first
run creates in the user's cache. The programs run one after the other with the same number of
threads. gptzip evaluates in float32, one token at a time both ways.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from experiments.support.records import Row, identified, result_folder, with_machine, write_results
from experiments.support.tables import markdown_of
from experiments.support.timing import round_trip
from lmcompress import CodecConfig, corpora
from lmcompress.benchmark.harness import payload_bytes
from lmcompress.codec.session import resolve_threads
from lmcompress.metrics import bits_per_byte
from lmcompress.models.sources import published_file
from lmcompress.models.store import Model, cache_folder, load_model

NAME = "gptzip"
MODEL = "smollm2-135m"
CORPUS = "canterbury/alice29.txt"
RAW_BYTES = 4000
PEERS = Path(__file__).parent / "peers"


def environment() -> Path:
    """Returns the Python of gptzip's environment, which is created if it does not exist."""
    folder = cache_folder().parent / "peers" / "gptzip"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not (folder / "complete").exists():
        click.echo(f"installing gptzip into {folder}", err=True)
        venv.create(folder, with_pip=True, clear=True)
        requirements = str(PEERS / "requirements.txt")
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
        (folder / "complete").touch()
    return python


def gptzip_row(raw: bytes, python: Path, checkpoint: Path) -> dict[str, Any]:
    """Returns sizes and times of gptzip on a text."""
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text")
        text.write_bytes(raw)
        command = [str(python), str(PEERS / "gptzip_run.py"), str(checkpoint), str(text)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if not found["round trip"]:
        raise click.ClickException("gptzip did not give the text back")
    return {"program": f"gptzip {found['versions']['gptzip']}", **found}


def our_row(raw: bytes, model: Model, config: CodecConfig, program: str) -> dict[str, Any]:
    """Returns sizes and times of lmcompress on a text, with compiled kernels."""
    round_trip(raw[:200], model, config)  # compiles
    found = round_trip(raw, model, config)
    return {
        "program": program,
        "compressed bytes": found.num_bytes,
        "payload bytes": payload_bytes(found.compressed),
        "compress s": found.compress_seconds,
        "decompress s": found.decompress_seconds,
        "threads": resolve_threads(None),
    }


def shown(rows: Sequence[Row], raw_bytes: int) -> list[Row]:
    """Returns the rows of the table: sizes, speeds, and speeds relative to gptzip."""
    table = []
    for row in rows:
        both = {what: raw_bytes / row[f"{what} s"] for what in ("compress", "decompress")}
        table.append(
            {
                "program": row["program"],
                "compressed bytes": row["compressed bytes"],
                "of them payload": row.get("payload bytes", ""),
                "bits per byte": round(bits_per_byte(row["compressed bytes"], raw_bytes), 4),
                **{f"{what}, B/s": round(speed, 1) for what, speed in both.items()},
                **{
                    f"{what}, of gptzip": round(rows[0][f"{what} s"] / row[f"{what} s"], 1)
                    for what in both
                },
            }
        )
    return table


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    raw_bytes = rows[0]["raw_bytes"]
    note = (
        f"The first {raw_bytes:,} bytes of {CORPUS}, model {MODEL}, one lane, threads: "
        f"{rows[-1]['threads']}; decoded and compared on both sides; models loaded. gptzip's code "
        "has no header and no checksum; lmcompress's files have both."
    )
    return {"table.md": markdown_of(shown(rows, raw_bytes), with_machine(note, rows))}


@click.command()
@click.option("--raw-bytes", default=RAW_BYTES, show_default=True, type=click.IntRange(min=1))
def main(raw_bytes: int) -> None:
    """Compares with gptzip on the same weights."""
    with result_folder(NAME, raw_bytes != RAW_BYTES) as folder_out:
        raw = corpora.load(CORPUS)[:raw_bytes]
        model, python = load_model(MODEL), environment()
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = published_file(MODEL, Path(folder))
            rows = [gptzip_row(raw, python, checkpoint)]
        config = CodecConfig(lanes=1)
        for program, ours in (
            ("lmcompress", config),
            ("lmcompress --compact", dataclasses.replace(config, compact=True)),
        ):
            rows.append(our_row(raw, model, ours, program))
            click.echo(rows[-1], err=True)
        records = [{**row, "corpus": CORPUS, "raw_bytes": len(raw)} for row in rows]
        write_results(NAME, identified(records, model), folder_out, derived_texts)


if __name__ == "__main__":
    main()
