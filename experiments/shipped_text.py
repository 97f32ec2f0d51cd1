"""The paper's Table 1 and Figure 4 on a text that ships with Python, for whoever has no corpora.

    python -m experiments.shipped_text [--quick] [--derive]

Chunks of 2,048 bytes, each compressed on its own. Classical codecs make a file of each; a model's
rates are exact code lengths, and a file of all its chunks is decompressed and compared. The text is
what `help()` prints about Python's language, so it changes with Python's version, and its SHA-256
stands in the records. No model was trained on it, though the default has read the manuals of Python
packages. Intervals are of the mean over the chunks (bootstrap).
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from pydoc_data import topics

import click
import numpy as np
import numpy.typing as npt

from experiments.figure_4 import CLASSICAL, LENGTHS, prefix_rates_of_files, prefix_rates_of_model
from experiments.support import paper
from experiments.support.intervals import interval
from experiments.support.records import Row, result_folder, write_records
from experiments.support.tables import markdown_of, write_texts
from lmcompress.benchmark import classical
from lmcompress.benchmark.harness import measure
from lmcompress.benchmark.records import read_rows
from lmcompress.metrics import adjusted_compression_rate
from lmcompress.models.store import Model

NAME = "shipped_text"
SHOWN = (16, 128, 2048)
GIGABYTE = 10**9


def shipped_text(num_bytes: int) -> bytes:
    """Returns the beginning of Python's help about its own language."""
    return "\n".join(topics.topics.values()).encode()[:num_bytes]


def row_of_model(model: Model, raw: bytes) -> Row:
    """Returns the record of a model: a file that was decompressed, and the rates of its chunks."""
    file = measure(paper.ChunkedModelCodec(model, len(raw)), "shipped", raw)
    rates = prefix_rates_of_model(model, raw)
    return _row(model.name, model.num_parameters, rates) | {
        "fingerprint": model.fingerprint.hex(), "compressed bytes": len(file.compressed),
    }  # fmt: skip


def row_of_codec(name: str, raw: bytes) -> Row:
    """Returns the record of a classical codec, of which each chunk is a file."""
    chunks = [raw[at : at + LENGTHS[-1]] for at in range(0, len(raw), LENGTHS[-1])]
    rates = prefix_rates_of_files(classical.get(name), chunks)
    return _row(name, 0, rates) | {"compressed bytes": round(rates[:, -1].sum() * LENGTHS[-1])}


def _row(name: str, num_parameters: int, rates: npt.NDArray[np.float64]) -> Row:
    chosen = {length: rates[:, LENGTHS.index(length)] for length in SHOWN}
    return {
        "compressor": name,
        "parameters": num_parameters,
        "rates": {str(length): found.round(5).tolist() for length, found in chosen.items()},
    }


def lines_of(rows: Sequence[Row]) -> list[Row]:
    """Returns the table's lines: rates in percent with their intervals."""
    return [
        {
            "compressor": row["compressor"],
            "parameters": f"{row['parameters']:,}",
            **{f"first {n} bytes" if n < SHOWN[-1] else "chunks": _rate(row, n) for n in SHOWN},
            "adjusted, at 1 GB": _adjusted(row),
        }
        for row in rows
    ]


def _rate(row: Row, length: int) -> str:
    rates = row["rates"][str(length)]
    low, high = interval(rates, [1.0] * len(rates))
    return f"{100 * float(np.mean(rates)):.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _adjusted(row: Row) -> str:
    """Returns the rate that two bytes for each parameter would make of it, as the paper counts."""
    added = adjusted_compression_rate(0, 2 * row["parameters"], GIGABYTE)
    return f"{100 * (float(np.mean(row['rates'][str(SHOWN[-1])])) + added):.1f}"


def measured(num_bytes: int, models: Sequence[Model]) -> list[Row]:
    """Returns a record for each classical codec and model."""
    raw = shipped_text(num_bytes)
    text = {
        "corpus": f"the help of Python {platform.python_version()}",
        "raw bytes": len(raw),
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
    }
    rows = [row_of_codec(name, raw) for name in CLASSICAL]
    for model in models:
        rows.append(row_of_model(model, raw))
        click.echo(f"{model.name}: {_rate(rows[-1], SHOWN[-1])} %", err=True)
    return [row | text for row in rows]


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    note = (
        f"Compressed over raw size in percent, with 95 % intervals, of "
        f"{len(rows[0]['rates'][str(SHOWN[-1])])} chunks of {SHOWN[-1]:,} bytes from "
        f"{rows[0]['corpus']}, and of their first bytes. A classical codec's chunk is a file "
        "with a header. Models: exact code lengths, without the adaptive stage; the file of all "
        "chunks was decompressed and compared. Neighbouring chunks are alike, so intervals are "
        "somewhat too narrow."
    )
    return {"table.md": markdown_of(lines_of(rows), note)}


@click.command()
@click.option("--quick", is_flag=True, help="Two models, 4 kB, into results/quick.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild the table.")
def main(quick: bool, derive: bool) -> None:
    """Compares compressors and models on text that ships with Python."""
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            models = paper.chosen_models((), quick)
            write_records(NAME, measured(paper.size_of(None, quick), models), folder)
        write_texts(derived_texts(read_rows(folder / "records.jsonl")), folder)


if __name__ == "__main__":
    main()
