"""What do the GPT and the online models contribute along a file, and when?

    python -m experiments.mix_shift [--quick] [--derive]

The paper's Figure 4 asks how a model learns in its context. This asks the same of real files, in
one lane, for the default model, for the adaptive stage alone and for both. Quantized code lengths
of equal pieces of each file; no files are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from experiments.support.figures import finished, panels, write_derived
from experiments.support.predictions import predictions
from experiments.support.records import Row, identified, result_folder, write_records
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.adaptive import AdaptiveStage
from lmcompress.benchmark.records import read_rows
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.session import Session
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, Model, load_model
from lmcompress.range_coder import symbol_bits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "mix_shift"
CORPORA = (
    "canterbury/alice29.txt",
    "code/python-3.11.7-stdlib.py.txt@0+150000",
    "i18n/ru-crime-and-punishment.txt@0+150000",
    "logs/us-sba-data-catalog.json@0+150000",
)
PIECES = 24
WAYS = ("GPT alone", "stage alone", "mixed")


def bits_by_byte(raw: bytes, model: Model, *, adaptive: bool) -> npt.NDArray[np.float64]:
    """Returns the code length of each byte in one lane, shape (len(raw),)."""
    session = Session(model, CodecConfig(device="cpu"))
    stage = AdaptiveStage([len(raw)]) if adaptive else None
    parts = []
    for rounds in predictions(session, session.symbols_of(raw), 1):
        if stage is None:
            parts.append(symbol_bits(rounds.freqs, rounds.symbols))
        else:
            bits, freqs = stage.predict(rounds)
            parts.append(symbol_bits(freqs, bits).reshape(-1, 8).sum(1))
    return np.concatenate(parts)


def in_pieces(raw: bytes, model: Model) -> dict[str, list[float]]:
    """Returns bits per byte of each piece, for each of WAYS."""
    found = {
        "GPT alone": bits_by_byte(raw, model, adaptive=False),
        "stage alone": bits_by_byte(raw, load_model(NO_MODEL), adaptive=True),
        "mixed": bits_by_byte(raw, model, adaptive=True),
    }
    return {
        way: [round(float(piece.mean()), 4) for piece in np.array_split(bits, PIECES)]
        for way, bits in found.items()
    }


def measured(names: Sequence[str]) -> list[Row]:
    """Returns a record for each file."""
    model, rows = load_model(DEFAULT_MODEL), []
    for name in names:
        raw = corpora.load(name)
        rows.append({"corpus": name, "raw_bytes": len(raw), **in_pieces(raw, model)})
        click.echo(f"{name} done", err=True)
    return identified(rows, model)


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Returns bits per byte along each file."""
    figure, row_of_panels = panels([row["corpus"] for row in rows])
    for axes, row in zip(row_of_panels, rows, strict=True):
        middles = (np.arange(PIECES) + 0.5) * row["raw_bytes"] / PIECES / 1000
        for way in WAYS:
            axes.plot(middles, row[way], label=way)
        axes.set(xlabel="position, kB")
    return finished(figure)


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    lines = [
        {"file": row["corpus"], "way": way, "first": row[way][0], "second": row[way][1],
         "middle": row[way][PIECES // 2], "last": row[way][-1]}
        for row in rows for way in WAYS
    ]  # fmt: skip
    note = f"Bits per byte of pieces (one {PIECES}th each) of a file read as one lane."
    return {"table.md": markdown_of(lines, note)}


@click.command()
@click.option("--quick", is_flag=True, help="One small file, into results/quick.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild table and figure.")
def main(quick: bool, derive: bool) -> None:
    """Measures the GPT, the adaptive stage and both along files."""
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            names = ("canterbury/fields.c",) if quick else CORPORA
            write_records(NAME, measured(names), folder)
        rows = read_rows(folder / "records.jsonl")
        write_derived(folder, derived_texts(rows), {"along-the-file": lambda: draw(rows)})


if __name__ == "__main__":
    main()
