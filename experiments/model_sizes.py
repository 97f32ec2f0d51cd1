"""Do larger models compress better, and at which size do they pass gzip and other codecs?

    python -m experiments.model_sizes [--quick] [--derive]

The ladder (the same 30 MB of Wikipedia for every size) and the default model, which has read
twice the text, of more kinds; each alone and with the adaptive stage, compared with classical
codecs on slices of texts that no model was trained on. Every row is a file that was decompressed
and compared; a row that records.jsonl already has is not measured again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from experiments.support.codec_rows import derived_texts, in_order, measure
from experiments.support.figures import (
    BLUE,
    PAGE_WIDTH,
    VERMILION,
    mark_sizes,
    new_figure,
    write_derived,
)
from experiments.support.paper import LADDER, chosen_models
from experiments.support.records import result_folder
from lmcompress.benchmark.harness import ModelCodec, classical_codecs
from lmcompress.benchmark.protocol import Codec
from lmcompress.benchmark.records import Record, read_jsonl
from lmcompress.codec.config import CodecConfig
from lmcompress.models.store import DEFAULT_MODEL
from lmcompress.report.tables import slice_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
NAME = "model_sizes"
CORPORA = (
    "calgary/book1@100000+16384",
    "enwik/enwik8.head-4150000@3000000+16384",
    "text/wikitext-2-test.txt@100000+16384",
)
CLASSICAL = ("gzip", "bzip2", "xz", "zstd", "ppmd", "zpaq", "stored")
LINES = ("gzip-9", "xz-9e", "ppmd-16", "zpaq-5")
"""Classical codecs that the figure shows as horizontal lines."""
ALONE = " (no adaptive stage)"
_LABEL_HEIGHT = 0.24
"""Height of a line's name, in bits per byte."""
COLORS = {"model alone": BLUE, "with the adaptive stage": VERMILION}


def codecs(*, quick: bool) -> list[Codec]:
    models = chosen_models((), quick)
    configs = (CodecConfig(adaptive=False), CodecConfig())
    coded = [ModelCodec(model, config) for model in models for config in configs]
    return [*classical_codecs(CLASSICAL), *coded]


def figure_of(records: Sequence[Record], names: Iterable[str]) -> Figure:
    """Returns bits per byte against parameters: over all slices, then a panel for each text."""
    labels = slice_labels(names)
    figure = new_figure(PAGE_WIDTH, 6.4)
    panels = figure.subplots(-(-(1 + len(labels)) // 2), 2, sharey=True).ravel()
    titles = {"": "mean of the slices"} | labels
    for axes, (corpus, title) in zip(panels, titles.items(), strict=True):
        rows: dict[str, list[Record]] = {}
        for record in records:
            if corpus in ("", record.corpus):
                rows.setdefault(record.codec, []).append(record)
        _panel(axes, rows)
        axes.set_title(title)
        mark_sizes(axes, {name: rows[name][0].num_parameters for name in LADDER if name in rows})
    for axes in panels[::2]:
        axes.set(ylabel="bits per byte", ylim=(0, None))
    panels[0].legend(loc="lower left", frameon=False, fontsize=8)
    return figure


def _mean(rows: Sequence[Record]) -> float:
    return statistics.mean(_rate(row) for row in rows)


def _rate(row: Record) -> float:
    assert row.bits_per_byte is not None  # each row is a file
    return row.bits_per_byte


def _panel(axes: Axes, rows: dict[str, list[Record]]) -> None:
    for label, color in COLORS.items():
        suffix = ALONE if label == "model alone" else ""
        found = [rows[name + suffix] for name in LADDER if name + suffix in rows]
        sizes = [slices[0].num_parameters for slices in found]
        axes.plot(sizes, list(map(_mean, found)), "o-", color=color, label=label)
        if default := rows.get(DEFAULT_MODEL + suffix):
            # Hollow, as it was trained on other text; shifted, as one of the ladder is as large.
            size, mean = 1.1 * default[0].num_parameters, _mean(default)
            axes.plot(size, mean, "o", color=color, fillstyle="none")
            if not suffix:
                axes.annotate(DEFAULT_MODEL, (size, mean), (5, -3), textcoords="offset points",
                              fontsize=8)  # fmt: skip
    heights = {name: _mean(rows[name]) for name in LINES if name in rows}
    lowest = -math.inf
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        axes.axhline(height, color="#767676", linewidth=0.8, linestyle=":")
        lowest = max(height, lowest + _LABEL_HEIGHT)  # names need more room than the lines have
        axes.annotate(name, (1, height), (1.02, lowest), xycoords=axes.get_yaxis_transform(),
                      textcoords=axes.get_yaxis_transform(), va="center", fontsize=8,
                      color="#555555", annotation_clip=False)  # fmt: skip


@click.command()
@click.option("--quick", is_flag=True, help="Two models, 4 kB of each text, into results/quick.")
@click.option("--derive", is_flag=True, help="Measure nothing: only rebuild table and figure.")
def main(quick: bool, derive: bool) -> None:
    """Compares the models of the ladder by size."""
    names = [name.replace("+16384", "+4096") for name in CORPORA] if quick else list(CORPORA)
    with result_folder(NAME, quick, derive=derive) as folder:
        if not derive:
            measure(NAME, names, codecs(quick=quick), folder / "records.jsonl")
        records = in_order(read_jsonl(folder / "records.jsonl"), names)
        figures = {"model-sizes": lambda: figure_of(records, names)}
        write_derived(folder, derived_texts(records, names), figures)


if __name__ == "__main__":
    main()
