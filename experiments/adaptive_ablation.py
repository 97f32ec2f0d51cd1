"""What is each part of the adaptive stage worth?

    python -m experiments.adaptive_ablation [--quick]

Each part is removed in turn, on the same text, with the same predictions of the default model and
the lanes that a file would have. Quantized code lengths; no files are written. The microseconds
are CPU time on one thread, of stages that take turns every few thousand bytes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import click

from experiments.support.predictions import predictions
from experiments.support.records import Row, identified, result_folder, write_results
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.adaptive import AdaptiveStage
from lmcompress.adaptive.state import PARTS
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.lanes import auto_lanes
from lmcompress.codec.segments import DirectStage, Stage
from lmcompress.codec.session import Session
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, Model, load_model
from lmcompress.report.tables import slice_labels
from lmcompress.tokenizer.rounds import Rounds

NAME = "adaptive_ablation"
CORPORA = (
    "canterbury/alice29.txt",
    "canterbury/asyoulik.txt",
    "canterbury/plrabn12.txt@0+300000",
    "calgary/book1@0+300000",
    "calgary/news@0+300000",
    "enwik/enwik8.head-4150000@3000000+300000",
    "text/wikitext-2-test.txt@0+300000",
    "logs/us-sba-data-catalog.json@0+300000",
    "logs/Apache_2k.log",
    "code/python-3.11.7-stdlib.py.txt@0+300000",
    "i18n/ru-crime-and-punishment.txt@0+300000",
    "i18n/kowiki-extract.txt@0+300000",
)
QUICK_CORPORA = ("canterbury/fields.c", "canterbury/xargs.1")
NOTHING, GPT, STAGE = "nothing (bits per byte)", "all but the GPT", "the GPT"
MICROSECONDS = "microseconds a byte"
NOTE = (
    "Code lengths, no files. First line: bits per byte with the whole stage. Below: how much more "
    "they are without each part. Last column: the stage's own time, then what leaving the part out "
    "saves, medians over the texts."
)


Figures = dict[str, float]
"""By the part that is left out; GPT is the GPT alone, STAGE the stage alone."""


def measure(raw: bytes, model: Model, parts: Sequence[str] = PARTS) -> tuple[Figures, Figures]:
    """Returns bits, and seconds of CPU time."""
    config, lanes = CodecConfig(device="cpu"), auto_lanes(len(raw))
    session = Session(model, config)
    symbols = session.symbols_of(raw)
    lengths = session.lane_bytes(symbols, lanes)
    stages: dict[str, Stage] = {part: AdaptiveStage(lengths, without=[part]) for part in parts}
    stages |= {NOTHING: AdaptiveStage(lengths), GPT: DirectStage()}
    bits = dict.fromkeys([NOTHING, GPT, STAGE, *parts], 0.0)
    seconds = bits.copy()

    def code(name: str, stage: Stage, rounds: Rounds) -> None:
        started = time.process_time()
        bits[name] += stage.code_length(rounds)
        seconds[name] += time.process_time() - started

    for rounds in predictions(session, symbols, lanes):
        for name, stage in stages.items():
            code(name, stage, rounds)
    alone = AdaptiveStage(lengths)
    nothing = Session(load_model(NO_MODEL), config)
    for rounds in predictions(nothing, symbols, lanes):
        code(STAGE, alone, rounds)
    return bits, seconds


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns a row for each part: the growth in bits without it, in percent, by corpus."""
    lines, labels = [], slice_labels(row["corpus"] for row in rows)
    for name in [NOTHING, GPT, STAGE, *PARTS]:
        line: dict[str, Any] = {"without": name}
        for row in rows:
            whole, found = row["bits"][NOTHING], row["bits"][name]
            is_whole = name == NOTHING
            line[labels[row["corpus"]]] = (
                f"{whole / row['raw_bytes']:.4f}"
                if is_whole
                else f"{100 * (found / whole - 1):+.2f} %"
            )
        line[MICROSECONDS] = microseconds(rows, name)
        lines.append(line)
    return lines


def microseconds(rows: Sequence[dict[str, Any]], name: str) -> str:
    """Returns a byte's time in the whole stage, or what leaving a part out saves: medians."""
    times = []
    for row in rows:
        seconds = row["seconds"][name]
        if name != NOTHING:
            seconds -= row["seconds"][NOTHING]
        times.append(1e6 * seconds / row["raw_bytes"])
    return f"{statistics.median(times):{'' if name == NOTHING else '+'}.2f}"


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    return {"table.md": markdown_of(table(rows), NOTE)}


@click.command()
@click.option("--quick", is_flag=True, help="Two small files, into results/quick.")
def main(quick: bool) -> None:
    """Measures what each part of the adaptive stage is worth."""
    with result_folder(NAME, quick) as folder:
        model, rows = load_model(DEFAULT_MODEL), []
        for name in QUICK_CORPORA if quick else CORPORA:
            raw = corpora.load(name)
            bits, seconds = measure(raw, model)
            rows.append(
                {
                    "corpus": name,
                    "raw_bytes": len(raw),
                    "lanes": auto_lanes(len(raw)),
                    "bits": {part: round(value, 1) for part, value in bits.items()},
                    "seconds": {part: round(value, 4) for part, value in seconds.items()},
                }
            )
            click.echo(f"{name} {bits[NOTHING] / len(raw):.4f} bits per byte", err=True)
        write_results(NAME, identified(rows, model), folder, derived_texts)


if __name__ == "__main__":
    main()
