"""What do lanes bring? Bits per byte, and speed both ways, against the number of lanes.

    python -m experiments.lane_speed [--quick]

Files of the default model, decoded and compared. The codec alone is timed, once each way after a
warm-up. The automatic rule (lmcompress/codec/lanes.py) takes 16 lanes for this text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from matplotlib.figure import Figure

from experiments.support.figures import write_figures
from experiments.support.records import identified, result_folder, write_records
from experiments.support.tables import write_table
from lmcompress import corpora
from lmcompress.benchmark.harness import ModelCodec, measure
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.lanes import auto_lanes
from lmcompress.codec.session import resolve_threads
from lmcompress.metrics import bits_per_byte
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model

NAME = "lane_speed"
CORPUS, QUICK = "calgary/book1@0+300000", "calgary/book1@0+20000"
LANES = (1, 2, 4, 8, 16, 32, 64)


def row_of(raw: bytes, model: Model, lanes: int) -> dict[str, Any]:
    """Returns the size and the speeds for a number of lanes."""
    found = measure(ModelCodec(model, CodecConfig(lanes=lanes)), CORPUS, raw)
    return {
        "lanes": lanes,
        "bits per byte": round(bits_per_byte(len(found.compressed), len(raw)), 4),
        "compress kB/s": round(len(raw) / found.compress_seconds / 1000, 2),
        "decompress kB/s": round(len(raw) / found.decompress_seconds / 1000, 2),
    }


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Returns bits per byte against the speed of decompression, a point for each row."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for way in ("compress kB/s", "decompress kB/s"):
        axes.plot([r[way] for r in rows], [r["bits per byte"] for r in rows], "o-", label=way[:-5])
    for row in rows:
        at = row["decompress kB/s"], row["bits per byte"]
        axes.annotate(str(row["lanes"]), at, (4, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel="kB/s", ylabel="bits per byte", title="number of lanes", xlim=(0, None))
    figure.axes[0].legend()
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="20 kB, up to 4 lanes, into results/quick.")
def main(quick: bool) -> None:
    """Measures bits per byte and speed against the number of lanes."""
    with result_folder(NAME, quick) as folder:
        model, corpus = load_model(DEFAULT_MODEL), QUICK if quick else CORPUS
        raw = corpora.load(corpus)
        rows = []
        for lanes in LANES[:3] if quick else LANES:
            rows.append(row_of(raw, model, lanes))
            click.echo(str(rows[-1]), err=True)
        threads = resolve_threads(None)
        records = [{**row, "corpus": corpus, "threads": threads} for row in rows]
        write_records(NAME, identified(records, model), folder)
        note = (
            f"{corpus}, default model, {threads} threads; real files, decoded and compared. "
            f"Automatic: {auto_lanes(len(raw))} lanes."
        )
        write_table(rows, folder, note)
        write_figures({"lane-speed": lambda: draw(rows)}, folder)


if __name__ == "__main__":
    main()
