"""How do the embedded models compare with classical codecs, file by file?

    python -m experiments.default_against_classical [--quick]

Every row is a file that was compressed, decompressed and compared. A row that records.jsonl already
has, of the same bytes, codec version, model and lanes, is not measured again, so the run can be
stopped at any time. The other files of the folder are made from the records alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from experiments.support.codec_rows import MODELS, codecs, derived_texts, in_order, measure
from experiments.support.records import result_folder
from experiments.support.tables import write_texts
from lmcompress.benchmark.records import Record, read_jsonl
from lmcompress.report.figures import plot_bits_per_byte
from lmcompress.report.tables import rate_table, replace_between_markers

NAME = "default_against_classical"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"
CORPORA = (
    "canterbury/alice29.txt",
    "canterbury/asyoulik.txt",
    "canterbury/plrabn12.txt",
    "calgary/book1",
    "calgary/news",
    "enwik/enwik8.head-4150000@3000000+1000000",
    "text/wikitext-2-test.txt",
    "logs/us-sba-data-catalog.json",
    "logs/Apache_2k.log",
    "code/python-3.11.7-stdlib.py.txt@0+1000000",
)
QUICK_CORPORA = ("canterbury/grammar.lsp", "canterbury/xargs.1", "canterbury/fields.c")


@click.command()
@click.option("--quick", is_flag=True, help="Three small files, into results/quick.")
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True,
              help="Name or folder.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Of the model; default: all.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild tables and figure.")
def main(quick: bool, models: tuple[str, ...], threads: int | None, derive: bool) -> None:
    """Compares the embedded models with all classical codecs that are installed."""
    names = QUICK_CORPORA if quick else CORPORA
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            measure(NAME, names, codecs(models, threads), folder / "records.jsonl")
        records = read_jsonl(folder / "records.jsonl")
        write_derived(records, names, folder)
        if not quick:
            text = page_text(PAGE.read_text("utf-8"), records)
            PAGE.write_text(text, "utf-8", newline="\n")


def page_text(text: str, records: Iterable[Record]) -> str:
    """Returns docs/results.md with the table of rates that the records give."""
    return replace_between_markers(text, NAME, rate_table(in_order(records, CORPORA)))


def write_derived(records: Sequence[Record], names: Sequence[str], folder: Path) -> None:
    """Writes the summary, the table and the figure of the records."""
    write_texts(derived_texts(records, names), folder)
    plot_bits_per_byte(in_order(records, names), folder / "bits-per-byte.svg")


if __name__ == "__main__":
    main()
