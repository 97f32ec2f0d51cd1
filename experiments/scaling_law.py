"""How do bits per byte fall with parameters N and with bytes seen D?

    python -m experiments.scaling_law [--quick] [--runs DIR] [--derive]

L(N) = A / N^a over the finished runs of the ladder (Kaplan et al., 2020), and L(N, D) = E + A / N^a
+ B / D^b (Hoffmann et al., 2022) over the training curves of all but the largest, which it has to
predict within 3 % to be drawn. A point of a curve is the mean over the text since the point before.
That text is drawn at random from sources of twice its size, so some of it was read before: the
table says how much. Only points of one sequence length and after the warm-up count: after a change
of length the curve jumps. A curve's
early points come at a high learning rate, so the fit describes this schedule and says little about
shorter ones. Held-out figures in the middle of a run are not used: their sequences are longer than
those that the run has been trained on so far.

Records hold the curves, so a run that no longer exists is fitted from them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from experiments.support import paper
from experiments.support.figures import (
    BLUE,
    COLOR_OF,
    PAGE_WIDTH,
    mark_sizes,
    new_figure,
    write_derived,
)
from experiments.support.records import RESULTS, Row, RowFile, provenance, result_folder
from experiments.support.runs import RUNS, is_finished, read_run, share_read_before, train_config
from experiments.support.scaling_fit import Floats, JointLaw, SizeLaw, fit_size, fit_size_and_data
from experiments.support.tables import markdown_of
from lmcompress.benchmark.records import csv_text
from lmcompress.errors import LmcompressError
from lmcompress.models.store import load_model
from lmcompress.training.trainer import STATE_FILE, check_same_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "scaling_law"
KEY = ("model", "bytes_seen", "validation_bits_per_byte")
WARM_UP_BYTES = 1_000_000
"""Of a run's text, left out of the fit: the curve bends there as the learning rate rises."""
_DRAWN_IF_BELOW = 0.03
"""A law that misses a run that it has not seen by more is none."""
_NO_FLOOR = 1e-3
_FLOORLESS = "; so little text shows no floor, which the fit puts at its bound, zero"


def measure(file: RowFile, runs: Path) -> None:
    """Appends the curves of finished runs that are not there yet."""
    for name in paper.LADDER:
        if not is_finished(runs / name):
            known = any(row["model"] == name for row in file.rows)
            what = "taken from the records" if known else "left out"
            click.echo(f"{name}: no finished run in {runs.name}, {what}", err=True)
            continue
        config = train_config(name)
        if (runs / name / STATE_FILE).is_file():  # a finished run may have lost it
            check_same_run(runs / name / STATE_FILE, config)
        run = read_run(runs / name)
        row = {
            "model": name,
            "fingerprint": load_model(runs / name).fingerprint.hex(),
            "num_parameters": run.model.num_parameters,
            "bytes_seen": run.card["bytes_seen"],
            "validation_bits_per_byte": run.validation_bits_per_byte,
            "short_bytes": round(config.short_fraction * config.total_bytes),
            "sequence_length": config.sequence_length,
            "short_sequence_length": config.short_sequence_length,
            "share_read_before": round(
                share_read_before(config, config.short_fraction * config.total_bytes), 3
            ),
            "training_curve": run.training,
        }
        if not file.matching({key: row[key] for key in KEY}):
            file.append(row | provenance(NAME))


def current(rows: Sequence[Row]) -> list[Row]:
    """Returns the last row of each model, smallest first."""
    found = {row["model"]: row for row in rows}
    return sorted(found.values(), key=lambda row: row["num_parameters"])


def curve_points(rows: Sequence[Row]) -> Floats:
    """Returns (parameters, bytes seen, bits per byte) of the points that are fitted, (n, 3)."""
    return np.array(
        [
            (row["num_parameters"], seen, bits)
            for row in rows
            for seen, bits in row["training_curve"]
            if WARM_UP_BYTES < seen <= row["short_bytes"]
        ]
    )


@functools.cache
def _fit_of(points: bytes) -> JointLaw:
    return fit_size_and_data(np.frombuffer(points).reshape(-1, 3))


def joint_law(rows: Sequence[Row]) -> JointLaw:
    """Returns L(N, D) of the rows' curves; each set of points is fitted once."""
    return _fit_of(curve_points(rows).tobytes())


def error_of(joint: JointLaw, row: Row) -> float:
    """Returns the root mean square of a law's error, of the logarithm, on a run's curve."""
    sizes, seen, bits = curve_points([row]).T
    return float(np.sqrt(np.mean(np.log(joint(sizes, seen) / bits) ** 2)))


def size_law(rows: Sequence[Row]) -> SizeLaw:
    """Returns L(N) of the finished runs' held-out figures."""
    sizes = np.array([row["num_parameters"] for row in rows], float)
    return fit_size(sizes, np.array([row["validation_bits_per_byte"] for row in rows]))


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the text files made from the records, by name."""
    shown = current(rows)
    *smaller, largest = shown
    by_size, joint = size_law(shown), joint_law(smaller)
    lines = []
    for row in shown:
        size = row["num_parameters"]
        lines.append(
            {
                "model": row["model"],
                "parameters": f"{size:,}",
                "bytes seen": f"{row['bytes_seen']:,}",
                "held out, measured": f"{row['validation_bits_per_byte']:.3f}",
                "L(N)": f"{by_size(size):.3f}",
                "L(N, D) at the end": f"{joint(size, row['bytes_seen']):.3f}",
            }
        )
    steps = ", ".join(
        f"{exponent_between(small, large):.3f} from {small['model']} to {large['model']}"
        for small, large in itertools.pairwise(shown)
    )
    note = (
        f"Bits per byte. L(N) = {by_size.scale:.2f} / N^{by_size.exponent:.3f} over {len(shown)} "
        f"finished runs (exponents between neighbours: {steps}). L(N, D) = {joint.floor:.3f} + "
        f"{joint.by_size:.3g} / N^{joint.a:.3f} + {joint.by_data:.3g} / D^{joint.b:.3f} over "
        f"{len(curve_points(smaller))} points of the training curves of all but the largest, "
        f"sequences of {shown[0]['short_sequence_length']:,} bytes; "
        f"{100 * shown[0]['share_read_before']:.0f} % of the text of the last points had been read "
        f"before. Its error there is {100 * joint.relative_error:.1f} % (root mean square; "
        f"{_errors_by_model(smaller, joint)}): the curves fall in steps, which no power law does. "
        "Three sizes are as many as E, A and a take, so only the fourth can contradict them: the "
        f"law misses the curve of {largest['model']} by {100 * error_of(joint, largest):.1f} %, "
        f"and is drawn if that is less than {100 * _DRAWN_IF_BELOW:.0f} %"
        f"{_FLOORLESS if joint.floor < _NO_FLOOR else ''}. N counts all parameters, those of "
        "embeddings too, which Kaplan et al. leave out. L(N, D) at the end "
        "goes beyond those points, to more text and longer sequences. "
        f"Held-out text is read in sequences of {shown[0]['sequence_length']:,}. One seed each, "
        "and little text: exponents of a few megabytes are no guide to gigabytes."
    )
    flat = [
        {"model": row["model"], "num_parameters": row["num_parameters"], "bytes_seen": seen,
         "train_bits_per_byte": bits}
        for row in shown
        for seen, bits in row["training_curve"]
    ]  # fmt: skip
    return {"summary.csv": csv_text(flat), "table.md": markdown_of(lines, note)}


def _errors_by_model(rows: Sequence[Row], joint: JointLaw) -> str:
    """Returns the root mean square of the fit's error on each model's curve, in words."""
    return ", ".join(f"{row['model']} {100 * error_of(joint, row):.1f} %" for row in rows)


def exponent_between(small: Row, large: Row) -> float:
    """Returns the exponent a that two runs alone would give."""
    sizes = np.log(large["num_parameters"] / small["num_parameters"])
    return float(
        np.log(small["validation_bits_per_byte"] / large["validation_bits_per_byte"]) / sizes
    )


def draw(rows: Sequence[Row]) -> Figure:
    """Returns L(N) over the finished runs, and the curves with L(N, D)."""
    shown = current(rows)
    figure = new_figure(PAGE_WIDTH, 3.4)
    by_size, by_data = figure.subplots(1, 2)
    law, joint = size_law(shown), joint_law(shown[:-1])
    is_drawn = error_of(joint, shown[-1]) < _DRAWN_IF_BELOW
    sizes = np.geomspace(shown[0]["num_parameters"] / 2, shown[-1]["num_parameters"] * 2)
    by_size.plot(sizes, law(sizes), color="0.6", lw=1, label="L(N)")
    for row in shown:
        color = COLOR_OF.get(row["model"], BLUE)
        at = row["num_parameters"], row["validation_bits_per_byte"]
        by_size.plot(*at, "o", color=color)
        seen, bits = np.array(row["training_curve"]).T
        by_data.plot(seen / 1e6, bits, color=color, lw=1, alpha=0.7, label=row["model"])
        if is_drawn:
            fitted = np.geomspace(WARM_UP_BYTES, row["short_bytes"])
            by_data.plot(fitted / 1e6, joint(at[0], fitted), "--", color=color, lw=1.4)
    mark_sizes(by_size, {row["model"]: row["num_parameters"] for row in shown})
    by_size.set_yscale("log")
    by_size.set_yticks((1.75, 2, 2.5, 3), ("1.75", "2", "2.5", "3"))
    by_size.minorticks_off()
    by_size.set_ylabel("bits per byte, held out, after all of the text")
    by_size.legend(frameon=False)
    longer = shown[0]["short_bytes"] / 1e6
    by_data.axvline(longer, color="0.8", lw=0.8, zorder=0)
    by_data.text(0.97 * longer, 4.9, "longer\nsequences", va="top", ha="right", fontsize=7,
                 color="0.4")  # fmt: skip
    by_data.set_xscale("log")
    by_data.set_xticks((0.5, 1, 2, 4, 8, 16, 30), ("0.5", "1", "2", "4", "8", "16", "30"))
    by_data.minorticks_off()
    by_data.set(xlabel="training text seen, MB", ylabel="bits per byte of training text",
                xlim=(0.4, None), ylim=(1.4, 5))  # fmt: skip
    by_data.legend(frameon=False, title="dashed: L(N, D)" if is_drawn else None)
    return figure


@click.command()
@click.option("--quick", is_flag=True, help="Only fit the recorded curves, into results/quick.")
@click.option("--runs", type=Path, default=RUNS, help="Folder of the trained runs.")
@click.option("--derive", is_flag=True, help="Read no runs: only rebuild table and figure.")
def main(quick: bool, runs: Path, derive: bool) -> None:
    """Fits how bits per byte fall with parameters and text."""
    with result_folder(NAME, quick) as folder:
        file = RowFile(RESULTS / NAME / "records.jsonl")
        if not (derive or quick):
            measure(file, runs)
        if len(current(file.rows)) < 2:
            raise LmcompressError(
                f"found {len(current(file.rows))} finished runs of the ladder, expected 2 or more: "
                "lmcompress train --config experiments/configs/ladder-50k.toml --out "
                "runs/ladder-50k, and so on"
            )
        write_derived(folder, derived_texts(file.rows), {"scaling-law": lambda: draw(file.rows)})


if __name__ == "__main__":
    main()
