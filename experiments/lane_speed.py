"""What do lanes bring? Bits per byte, and speed both ways, against the number of lanes.

    python -m experiments.lane_speed [--quick] [--derive]

Files of the default model, decoded and compared. The codec alone is timed, once each way after a
warm-up. The automatic rule (lmcompress/codec/lanes.py) takes 16 lanes for this text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from experiments.support.figures import BLACK, PAGE_WIDTH, new_figure, write_derived
from experiments.support.records import Row, identified, result_folder, with_machine, write_records
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.benchmark.harness import ModelCodec, measure
from lmcompress.benchmark.records import read_rows
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.lanes import auto_lanes
from lmcompress.codec.session import resolve_threads
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "lane_speed"
BYTES, QUICK_BYTES = 300_000, 20_000
LANES = (1, 2, 4, 8, 16, 32, 64)
COLUMNS = ("lanes", "bits per byte", "compress kB/s", "decompress kB/s")


def row_of(corpus: str, raw: bytes, model: Model, lanes: int) -> Row:
    """Returns the size and the speeds for a number of lanes."""
    found = measure(ModelCodec(model, CodecConfig(lanes=lanes)), corpus, raw)
    return {
        "lanes": lanes,
        "bits per byte": round(bits_per_byte(len(found.compressed), len(raw)), 4),
        "compress kB/s": round(len(raw) / found.compress_seconds / 1000, 2),
        "decompress kB/s": round(len(raw) / found.decompress_seconds / 1000, 2),
    }


def measured(corpus: str, counts: Sequence[int]) -> list[Row]:
    """Returns a record for each number of lanes."""
    model, raw = load_model(DEFAULT_MODEL), corpora.load(corpus)
    rows = []
    for lanes in counts:
        rows.append(row_of(corpus, raw, model, lanes))
        click.echo(str(rows[-1]), err=True)
    threads = resolve_threads(None)
    return identified([{**row, "corpus": corpus, "threads": threads} for row in rows], model)


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Returns speed both ways and bits per byte, against the number of lanes."""
    figure = new_figure(PAGE_WIDTH, 2.8)
    speed, rate = figure.subplots(1, 2)
    lanes = [row["lanes"] for row in rows]
    for way in ("compress", "decompress"):
        speed.plot(lanes, [row[f"{way} kB/s"] for row in rows], "o-", ms=4, label=way)
    speed.set(ylabel="kB/s, one measurement each", ylim=(0, speed.get_ylim()[1]))
    speed.legend(fontsize=8, frameon=False)
    rate.plot(lanes, [row["bits per byte"] for row in rows], "o-", ms=4, color=BLACK)
    rate.set_ylabel("bits per byte")
    for axes in (speed, rate):
        axes.set(xscale="log", xlabel="lanes")
        axes.set_xticks(lanes, [str(count) for count in lanes])
        axes.minorticks_off()
    return figure


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records."""
    corpus = rows[0]["corpus"]
    note = (
        f"{corpus}, default model, {rows[0]['threads']} threads; real files, decoded and "
        f"compared. Automatic: {auto_lanes(int(corpus.rpartition('+')[2]))} lanes."
    )
    return {"table.md": markdown_of(rows, with_machine(note, rows), COLUMNS)}


@click.command()
@click.option("--quick", is_flag=True, help="20 kB, up to 4 lanes, into results/quick.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild table and figure.")
def main(quick: bool, derive: bool) -> None:
    """Measures bits per byte and speed against the number of lanes."""
    with result_folder(NAME, quick, derive=derive) as folder:
        num_bytes, counts = (QUICK_BYTES, LANES[:3]) if quick else (BYTES, LANES)
        if not derive:
            write_records(NAME, measured(f"calgary/book1@0+{num_bytes}", counts), folder)
        rows = read_rows(folder / "records.jsonl")
        write_derived(folder, derived_texts(rows), {"lane-speed": lambda: draw(rows)})


if __name__ == "__main__":
    main()
