"""What do lanes cost if they share the state of the adaptive stage, and if they do not?

    python -m experiments.adaptive_lanes [--quick] [--derive]

Quantized code lengths with the default model: the GPT alone, with one state for all lanes, and
with a state for each lane. No files are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from experiments.support.figures import finished, panels, write_derived
from experiments.support.predictions import predictions
from experiments.support.records import Row, identified, result_folder, write_records
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.adaptive import AdaptiveStage
from lmcompress.benchmark.records import read_rows
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.segments import DirectStage
from lmcompress.codec.session import Session
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model
from lmcompress.tokenizer.rounds import Rounds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "adaptive_lanes"
CORPORA = (
    "canterbury/alice29.txt",
    "i18n/ru-crime-and-punishment.txt@0+300000",
    "logs/us-sba-data-catalog.json@0+300000",
)
LANES = (1, 2, 4, 8, 16, 32, 64)
WAYS = ("GPT alone", "own states", "shared state")


def code_lengths(raw: bytes, model: Model, lanes: int) -> dict[str, float]:
    """Returns bits per byte for each of WAYS."""
    session = Session(model, CodecConfig(device="cpu"))
    symbols = session.symbols_of(raw)
    lengths = session.lane_bytes(symbols, lanes)
    alone, shared = DirectStage(), AdaptiveStage(lengths)
    own = [AdaptiveStage([length]) for length in lengths]
    bits = dict.fromkeys(WAYS, 0.0)
    for rounds in predictions(session, symbols, lanes):
        bits["GPT alone"] += alone.code_length(rounds)
        bits["shared state"] += shared.code_length(rounds)
        bits["own states"] += sum(
            stage.code_length(of_lane(rounds, lane)) for lane, stage in enumerate(own)
        )
    return {way: value / len(raw) for way, value in bits.items()}


def of_lane(rounds: Rounds, lane: int) -> Rounds:
    """Returns the bytes of one lane, as if there were no other."""
    is_mine = rounds.lanes == lane
    count = np.count_nonzero(is_mine)
    rows = (array[is_mine] for array in rounds.arrays()[2:])
    return Rounds(np.ones(count, np.int32), np.zeros(count, np.int32), *rows)


def measured(names: Sequence[str]) -> list[Row]:
    """Returns a record for each text and number of lanes."""
    model, rows = load_model(DEFAULT_MODEL), []
    for name in names:
        raw = corpora.load(name)
        for lanes in LANES:
            found = {way: round(v, 4) for way, v in code_lengths(raw, model, lanes).items()}
            rows.append({"corpus": name, "lanes": lanes, **found})
            click.echo(f"{name} {lanes} lanes: {found}", err=True)
    return identified(rows, model)


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Returns bits per byte against lanes, a panel for each corpus."""
    names = list(dict.fromkeys(row["corpus"] for row in rows))
    figure, row_of_panels = panels(names)
    for axes, name in zip(row_of_panels, names, strict=True):
        mine = [row for row in rows if row["corpus"] == name]
        for way in WAYS:
            axes.plot([row["lanes"] for row in mine], [row[way] for row in mine], "o-", label=way)
        axes.set(xscale="log", xlabel="lanes")
        axes.set_xticks([row["lanes"] for row in mine], [str(row["lanes"]) for row in mine])
        axes.minorticks_off()
    return finished(figure)


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    note = "Bits per byte (quantized code length) against the number of lanes."
    return {"table.md": markdown_of(rows, note, ("corpus", "lanes", *WAYS))}


@click.command()
@click.option("--quick", is_flag=True, help="One small file, into results/quick.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild table and figure.")
def main(quick: bool, derive: bool) -> None:
    """Measures what lanes cost with shared and with separate learning."""
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            names = ("canterbury/fields.c",) if quick else CORPORA
            write_records(NAME, measured(names), folder)
        rows = read_rows(folder / "records.jsonl")
        write_derived(folder, derived_texts(rows), {"lanes": lambda: draw(rows)})


if __name__ == "__main__":
    main()
