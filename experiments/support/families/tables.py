"""Tables and figure of the families, from their records alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from experiments.support.families.coding import PART
from experiments.support.families.layout import CONTEXT, Family
from experiments.support.families.ways import WAYS, Way
from experiments.support.figures import BLUE, ORANGE, new_figure
from experiments.support.intervals import interval
from experiments.support.records import Row
from experiments.support.tables import markdown_of
from lmcompress.metrics import bits_per_byte

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BYTES, OPERATIONS = "Equal bytes read in training", "Equal operations in training"
Budgets = Mapping[Family, int]
"""Bytes that each family reads in training."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A way to code, measured on all texts."""

    way: Way
    rows: Sequence[Row]
    """One for each text."""
    rate: float
    """Code length of all texts, bits per byte; the files have the coder's few bytes more."""
    interval: tuple[float, float]
    ratio: float
    """To the code length of the causal network."""
    ratio_interval: tuple[float, float]


def lines_of(
    rows: Sequence[Row], budgets: Budgets, ways: Sequence[Way], texts: Sequence[str]
) -> list[Line]:
    """Returns a line for each way, of the runs with these budgets; all must be measured."""
    causal = _bits(_rows_of_way(rows, WAYS[0], budgets, texts))
    lines = []
    for way in ways:
        mine = _rows_of_way(rows, way, budgets, texts)
        bits = _bits(mine)
        sizes = [float(PART)] * len(bits)
        lines.append(
            Line(
                way, mine, sum(bits) / sum(sizes), interval(bits, sizes),
                sum(bits) / sum(causal), interval(bits, causal),
            )
        )  # fmt: skip
    return lines


def missing_of(
    rows: Sequence[Row], budgets: Budgets, wanted: Sequence[tuple[Way, str]]
) -> list[tuple[Way, str]]:
    """Returns the ways and texts of which there is no row of the runs with these budgets."""
    return [(way, text) for way, text in wanted if _find(rows, way, budgets, text) is None]


def _find(rows: Sequence[Row], way: Way, budgets: Budgets, text: str) -> Row | None:
    """Returns the last row of a way and a text."""
    fields = {**way.fields, "corpus": text, "budget": budgets[way.family]}
    return next((row for row in reversed(rows) if fields.items() <= row.items()), None)


def _rows_of_way(
    rows: Sequence[Row], way: Way, budgets: Budgets, texts: Sequence[str]
) -> list[Row]:
    found = (_find(rows, way, budgets, text) for text in texts)
    return [row for row in found if row is not None]


def _bits(rows: Sequence[Row]) -> list[float]:
    return [bits for row in rows for bits in row["bits of parts"]]


def tables_text(tables: Mapping[str, Sequence[Line]]) -> str:
    """Returns the tables in Markdown: all ways, then those that another budget changes."""
    lines = tables[BYTES]
    row = lines[0].rows[0]
    note = (
        f"Networks of {row['parameters']:,} parameters. Files of {len(lines[0].rows)} texts of "
        f"{row['raw bytes']:,} bytes each, decoded and compared; each part of {PART} bytes is "
        f"coded with the {CONTEXT} before it as its context. 95 % intervals by the bootstrap over "
        f"{len(_bits(lines[0].rows))} parts; against causal, of the same parts. One seed each: "
        "differences of a percent may be chance. Passes and positions are what a decoder computes "
        "for a byte; bytes a second are those of one thread that decodes 8 lanes beside other work."
    )
    budgets = {line.way: line.rows[0]["budget"] for line in lines}
    others = [
        line
        for line in tables[OPERATIONS]
        if line.way == WAYS[0] or line.rows[0]["budget"] != budgets[line.way]
    ]
    return "\n".join(
        markdown_of([_cells(line) for line in some], text)
        for some, text in (
            (lines, f"{note}\n\n**{BYTES}:**"),
            (others, f"**{OPERATIONS}**, where that makes a difference:"),
        )
    )


def _cells(line: Line) -> Row:
    row, way = line.rows[0], line.way
    seconds = sum(row["decompress s"] for row in line.rows)
    return {
        "family": way.family.name,
        "order": way.order,
        "bytes a pass": way.at_once,
        "MB read": f"{row['bytes_seen'] / 1e6:.1f}",
        "10^12 operations": f"{row['training_flops'] / 1e12:.1f}",
        **{
            row["corpus"]: f"{bits_per_byte(row['compressed bytes'], row['raw bytes']):.3f}"
            for row in line.rows
        },
        "both": f"{line.rate:.3f} ({line.interval[0]:.3f} to {line.interval[1]:.3f})",
        "against causal": None if way == WAYS[0] else _difference(line),
        "passes a byte": row["passes per byte"],
        "positions a byte": row["positions per byte"],
        "bytes/s": round(sum(row["raw bytes"] for row in line.rows) / seconds),
    }


def _difference(line: Line) -> str:
    ratio, low, high = (100 * (x - 1) for x in (line.ratio, *line.ratio_interval))
    return f"{ratio:+.1f} % ({low:+.1f} to {high:+.1f})"


def draw(tables: Mapping[str, Sequence[Line]]) -> Figure:
    """Returns bits per byte of all texts with their intervals, a row for each way."""
    ways = [line.way for line in tables[BYTES]]
    figure = new_figure(7.2, 0.34 * len(ways) + 1)
    axes = figure.subplots()
    for shift, color, (label, lines) in zip(
        (-0.12, 0.12), (BLUE, ORANGE), tables.items(), strict=True
    ):
        rates = [line.rate for line in lines]
        low, high = zip(*(line.interval for line in lines), strict=True)
        errors = [
            [rate - end for rate, end in zip(rates, low, strict=True)],
            [end - rate for rate, end in zip(rates, high, strict=True)],
        ]
        at = [i + shift for i in range(len(lines))]
        axes.errorbar(rates, at, xerr=errors, fmt="o", ms=4, color=color, label=label)
    axes.set(xlabel="bits per byte, with 95 % intervals", yticks=range(len(ways)))
    axes.set_yticklabels([_label(way) for way in ways])
    axes.invert_yaxis()
    axes.legend(fontsize=8)
    return figure


def _label(way: Way) -> str:
    order = f", {way.order}" if way.family.reads in ("masked", "blocks") else ""
    return way.family.name + order + (f", {way.at_once} a pass" if way.at_once > 1 else "")
