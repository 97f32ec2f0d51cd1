"""The paper's Figure 2: adjusted rate against model size, for data sets of several sizes.

    python -m experiments.figure_2 [--quick] [--bytes N] [--model NAME]... [--derive]

The rates of chunks of 2,048 bytes are those of table_1's records: files that were decompressed and
compared, measured first if they are missing. The size of a data set enters only through the two
bytes per parameter of the model: the rate on a larger data set is **projected** from the sample.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments import table_1
from experiments.support import modalities, paper
from experiments.support.figures import (
    BLUE,
    GREEN,
    ORANGE,
    PAGE_WIDTH,
    PINK,
    mark_sizes,
    new_figure,
    write_derived,
)
from experiments.support.paper import LADDER
from experiments.support.records import folder_of, result_folder, run_of
from experiments.support.table_1_tables import Line, lines_of
from experiments.support.tables import markdown_of
from lmcompress.benchmark.records import Record, csv_text
from lmcompress.errors import LmcompressError
from lmcompress.metrics import adjusted_compression_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "figure_2"
DATA_SET_BYTES = (10**6, 10**7, 10**8, 10**9)
COLORS = (ORANGE, PINK, GREEN, BLUE)


def points(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns raw and adjusted rates: a row for each text, data-set size and model."""
    lines = [line for line in lines_of(records) if line.is_chunked and line.num_parameters]
    return [
        {
            "sample": sample,
            "data_set_bytes": size,
            "model": line.compressor,
            "num_parameters": line.num_parameters,
            "sample_bytes": line.raw_bytes[sample],
            "is_file": sample not in line.scored,
            "raw_rate": line.rates[sample],
            "projected_adjusted_rate": line.rates[sample] + _share(line, size),
        }
        for sample, size, line in itertools.product(table_1.TEXTS, DATA_SET_BYTES, lines)
        if sample in line.rates
    ]


def _share(line: Line, data_set_bytes: int) -> float:
    return adjusted_compression_rate(0, line.half_precision_bytes, data_set_bytes)


def best(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the ladder's point with the lowest adjusted rate; other models read other text."""
    ladder = [row for row in rows if row["model"] in LADDER]
    return min(ladder or rows, key=lambda row: row["projected_adjusted_rate"])


def select(rows: Sequence[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    """Returns the rows that have these values."""
    return [row for row in rows if fields.items() <= row.items()]


def derived_texts(records: Sequence[Record]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    rows = points(records)
    lines = []
    for sample, size in itertools.product(table_1.TEXTS, DATA_SET_BYTES):
        found = select(rows, sample=sample, data_set_bytes=size)
        chosen = best(found)["model"]
        cells = {row["model"]: _cell(row, is_best=row["model"] == chosen) for row in found}
        lines.append({"sample": sample, "data set, bytes": f"{size:,}"} | cells)
    note = (
        "Compressed bytes and two bytes a parameter over raw bytes, in percent; the lowest of the "
        "ladder in bold (lmc-3m has read twice the text, of more kinds). The "
        f"rates of samples of {_sizes(rows)} bytes in chunks of "
        f"{modalities.CHUNK_BYTES:,} (table_1) are **projected**: a data set's size enters through "
        "the bytes of the model alone."
    )
    return {"summary.csv": csv_text(rows), "table.md": markdown_of(lines, note)}


def _sizes(rows: Sequence[dict[str, Any]]) -> str:
    sizes = sorted({row["sample_bytes"] for row in rows})
    return " or ".join(f"{size:,}" for size in sizes)


def _cell(row: dict[str, Any], *, is_best: bool) -> str:
    text = f"{100 * row['projected_adjusted_rate']:.1f}"
    return f"**{text}**" if is_best else text


_MARKS = (("*", "full", "best of the ladder"), ("D", "none", "read more text"))


def draw(records: Sequence[Record]) -> Figure:
    """Returns a panel for each text, a line for each size of data set."""
    rows = points(records)
    figure = new_figure(PAGE_WIDTH, 3.8)
    panels = figure.subplots(1, len(table_1.TEXTS), sharey=True)
    for axes, sample in zip(panels, table_1.TEXTS, strict=True):
        for size, color in zip(DATA_SET_BYTES, COLORS, strict=True):
            _line(axes, select(rows, sample=sample, data_set_bytes=size), color)
        axes.set_yscale("log")
        axes.set_yticks((30, 50, 100, 200, 500, 1000), ("30", "50", "100", "200", "500", "1,000"))
        mark_sizes(axes, {r["model"]: r["num_parameters"] for r in rows if r["model"] in LADDER})
        axes.set_title(sample)
    panels[0].set_ylabel("adjusted rate, %, projected")
    for marker, style, label in _MARKS:
        panels[0].plot([], [], marker, color="0.4", fillstyle=style, label=label)
    panels[0].legend(title="data set", fontsize=8, frameon=False)
    return figure


def _line(axes: Axes, rows: list[dict[str, Any]], color: str) -> None:
    size = f"{rows[0]['data_set_bytes'] // 10**6:,} MB"
    ladder = [row for row in rows if row["model"] in LADDER]
    axes.plot(*_coordinates(ladder), "o-", color=color, ms=4, label=size)
    axes.plot(*_coordinates([best(rows)]), "*", color=color, ms=11)
    # Hollow, because they were trained on other text, and more of it.
    other = [row for row in rows if row["model"] not in LADDER]
    axes.plot(*_coordinates(other), "D", color=color, ms=5, fillstyle="none", zorder=3)


def _coordinates(rows: Sequence[dict[str, Any]]) -> tuple[list[int], list[float]]:
    sizes = [row["num_parameters"] for row in rows]
    return sizes, [100 * row["projected_adjusted_rate"] for row in rows]


def source_of(*, quick: bool) -> Path:
    """Returns the records that the figure is made from."""
    return folder_of(table_1.NAME, quick=quick) / "records.jsonl"


@click.command()
@click.option("--quick", is_flag=True, help="Of table_1's quick records, into results/quick.")
@paper.options
def main(quick: bool, num_bytes: int | None, models: tuple[str, ...], derive: bool) -> None:
    """Shows where a larger model no longer pays for its own bytes."""
    with result_folder(NAME, quick) as folder:
        path = source_of(quick=quick)
        if not derive:
            size = paper.size_of(num_bytes, quick, table_1.BYTES)
            samples = [modalities.sample(modality, size) for modality in table_1.TEXTS]
            path.parent.mkdir(parents=True, exist_ok=True)
            table_1.measure_chunks(path, samples, paper.chosen_models(models, quick), run_of(NAME))
        if not path.is_file():
            raise LmcompressError(f"found no {path.name} of {table_1.NAME}: leave out --derive")
        records = table_1.records_of(path)
        write_derived(
            folder, derived_texts(records), {"adjusted-rate-by-size": lambda: draw(records)}
        )


if __name__ == "__main__":
    main()
