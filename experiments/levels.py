"""What do levels bring? Bits per byte, and speed both ways, for each that differs from the others.

    python -m experiments.levels [--quick | --derive]

Files, decoded and compared. Speeds are of CPU time on one thread, of the codec alone, once each way
after a warm-up; beside other work they came out 1.3 to 2.2 times lower.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from experiments.support.records import identified, result_folder, write_records
from experiments.support.tables import markdown_of, write_texts
from experiments.support.timing import round_trip
from lmcompress import corpora
from lmcompress.api.levels import LEVELS, Level
from lmcompress.benchmark.harness import WARM_UP_BYTES, ModelCodec
from lmcompress.benchmark.records import read_rows
from lmcompress.codec.config import CodecConfig
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import load_model
from lmcompress.report.tables import replace_between_markers

NAME = "levels"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
CORPUS, QUICK = "text/wikitext-2-test.txt@0+300000", "canterbury/grammar.lsp"
COLUMNS = ("level", "model", "lanes", "bits per byte", "compress kB/s", "decompress kB/s")


def distinct() -> dict[Level, list[int]]:
    """Returns the levels by what they stand for."""
    found: dict[Level, list[int]] = {}
    for number, level in LEVELS.items():
        found.setdefault(level, []).append(number)
    return found


def row_of(raw: bytes, corpus: str, level: Level) -> dict[str, Any]:
    """Returns the size and the speeds of a level."""
    model = load_model(level.model)
    config = CodecConfig(lanes=level.lanes, segment_bytes=level.segment_bytes, threads=1)
    codec = ModelCodec(model, config)
    round_trip(raw[:WARM_UP_BYTES], model, codec.config)
    found = round_trip(raw, model, codec.config, time.process_time)
    row = {
        "level": " ".join(f"-{number}" for number in distinct()[level]),
        "model": level.model,
        "lanes": codec.lanes_for(raw),
        "compressed bytes": found.num_bytes,
        "bits per byte": round(bits_per_byte(found.num_bytes, len(raw)), 4),
        "compress kB/s": round(len(raw) / found.compress_seconds / 1000, 2),
        "decompress kB/s": round(len(raw) / found.decompress_seconds / 1000, 2),
        "corpus": corpus,
        "raw bytes": len(raw),
    }
    return identified([row], model)[0]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the table of records, with a note on what it shows."""
    first = rows[0]
    note = (
        f"{first['corpus']}; files, decoded and compared. Speed: kB of text per second of CPU time "
        f"of one thread, on {first['machine']}; the README's speeds are of two."
    )
    return markdown_of(rows, note, COLUMNS)


def derived_texts(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": table(rows)}


def page_text(text: str, rows: Sequence[dict[str, Any]]) -> str:
    """Returns docs/cli.md with the table of the records."""
    return replace_between_markers(text, NAME, table(rows).strip())


@click.command()
@click.option("--quick", is_flag=True, help="A small file, into results/quick.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild the tables.")
def main(quick: bool, derive: bool) -> None:
    """Measures bits per byte and speed of each level."""
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            corpus = QUICK if quick else CORPUS
            raw, rows = corpora.load(corpus), []
            for level in distinct():
                rows.append(row_of(raw, corpus, level))
                click.echo(str(rows[-1]), err=True)
            write_records(NAME, rows, folder)
        records = read_rows(folder / "records.jsonl")
        write_texts(derived_texts(records), folder)
        if not quick:
            PAGE.write_text(page_text(PAGE.read_text("utf-8"), records), "utf-8", newline="\n")


if __name__ == "__main__":
    main()
