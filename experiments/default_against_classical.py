"""How does the default model compare with classical codecs, file by file?

    python -m experiments.default_against_classical [--quick]

Every row is a file that was compressed, decompressed and compared. A row that is in records.jsonl
already, of the same bytes, codec version, model and lanes, is not measured again, so the run can
be stopped at any time. The other files of the folder are made from the records alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click

from experiments.support.common import result_folder, run_of
from lmcompress import corpora
from lmcompress.benchmark.harness import ModelCodec, benchmark_row, classical_codecs, record_key
from lmcompress.benchmark.protocol import Codec
from lmcompress.benchmark.records import Record, append_jsonl, csv_text, latest, read_jsonl
from lmcompress.codec.config import CodecConfig
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model
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
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Name or folder.")
@click.option("--threads", type=click.IntRange(min=1), help="Of the model; default: all.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild tables and figure.")
def main(quick: bool, model: str, threads: int | None, derive: bool) -> None:
    """Compares the default model with all classical codecs at hand."""
    names = QUICK_CORPORA if quick else CORPORA
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            measure(names, codecs(model, threads), folder / "records.jsonl")
        records = read_jsonl(folder / "records.jsonl")
        write_derived(records, names, folder)
        if not quick:
            text = page_text(PAGE.read_text("utf-8"), records)
            PAGE.write_text(text, "utf-8", newline="\n")


def codecs(model: str, threads: int | None) -> list[Codec]:
    config = CodecConfig(threads=threads)
    models = [ModelCodec(load_model(name), config) for name in (model, NO_MODEL)]
    return [*classical_codecs(["all"]), *models]


def measure(
    names: Sequence[str],
    codecs: Sequence[Codec],
    path: Path,
    load: Callable[[str], bytes] = corpora.load,
    experiment: str = NAME,
) -> None:
    """Appends the rows that are not there yet, each as soon as it is measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {record.key for record in read_jsonl(path)} if path.exists() else set()
    run = run_of(experiment)
    for name in names:
        raw = load(name)
        for codec in codecs:
            if record_key(codec, raw) in done:
                continue
            record = benchmark_row(codec, name, raw, run)
            append_jsonl([record], path)
            click.echo(f"{name} {codec.name} {record.bits_per_byte:.4f} bits per byte", err=True)


def derived_texts(records: Iterable[Record], names: Sequence[str]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    shown = in_order(records, names)
    table = f"""\
Files, or slices of them where so named, compressed, decompressed and compared.

{rate_table(shown)}
"""
    return {"summary.csv": csv_text(shown), "table.md": table}


def in_order(records: Iterable[Record], names: Sequence[str]) -> list[Record]:
    """Returns the current record of each codec on each corpus, in a fixed order."""
    shown = [record for record in latest(records) if record.corpus in names]
    return sorted(shown, key=lambda record: (names.index(record.corpus), record.codec))


def page_text(text: str, records: Iterable[Record]) -> str:
    """Returns docs/results.md with the table of rates that the records give."""
    return replace_between_markers(text, NAME, rate_table(in_order(records, CORPORA)))


def write_derived(records: Sequence[Record], names: Sequence[str], folder: Path) -> None:
    for name, text in derived_texts(records, names).items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    plot_bits_per_byte(in_order(records, names), folder / "bits-per-byte.svg")


if __name__ == "__main__":
    main()
