"""Is the default model better than zpaq on every language and every log?

    python -m experiments.languages_and_logs [--quick]

Whole files, compressed, decompressed and compared: `i18n/` and `logs/`, the default model and the
faster one of tokens against zpaq and PPMd at their best setting. A row that records.jsonl already
has is not measured again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from experiments.support.codec_rows import MODELS, measure
from experiments.support.records import Row, result_folder
from experiments.support.tables import markdown_of, write_texts
from lmcompress import corpora
from lmcompress.benchmark.harness import ModelCodec, classical_codecs
from lmcompress.benchmark.records import Record, latest, read_rows
from lmcompress.models.store import DEFAULT_MODEL, load_model

NAME = "languages_and_logs"
NOTE = "Bits per byte of files that were decompressed and compared."
RIVALS = ("zpaq-5", "ppmd-16")


def table(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns bits per byte by file, and the difference between the default model and zpaq."""
    rows, current = [], latest(records)
    for corpus in sorted({record.corpus for record in current}):
        rates = {r.codec: r.bits_per_byte for r in current if r.corpus == corpus}
        ours, best = rates[DEFAULT_MODEL], rates[RIVALS[0]]
        assert ours is not None  # no file is empty
        assert best is not None
        raw_bytes = next(r.raw_bytes for r in current if r.corpus == corpus)
        row: dict[str, Any] = {"file": corpus, "raw bytes": raw_bytes}
        row |= {codec: f"{rates[codec]:.4f}" for codec in (*MODELS, *RIVALS) if codec in rates}
        rows.append({**row, "against zpaq": f"{100 * (ours / best - 1):+.1f} %"})
    return rows


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of(table([Record.from_dict(row) for row in rows]), NOTE)}


@click.command()
@click.option("--quick", is_flag=True, help="Two small files, into results/quick.")
def main(quick: bool) -> None:
    """Compares the embedded models with zpaq and PPMd on other languages and on logs."""
    with result_folder(NAME, quick) as folder:
        names = [*corpora.names("i18n/"), *corpora.names("logs/")]
        chosen = ["i18n/udhr-fra.txt", "i18n/udhr-jpn.txt"] if quick else names
        path = folder / "records.jsonl"
        models = [ModelCodec(load_model(name)) for name in MODELS]
        codecs = [*classical_codecs(RIVALS), *models]
        measure(NAME, chosen, codecs, path)
        write_texts(derived_texts(read_rows(path)), folder)


if __name__ == "__main__":
    main()
