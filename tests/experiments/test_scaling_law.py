"""Laws are found again from points that follow them; the table is a function of the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import scaling_law
from experiments.support import paper
from experiments.support.records import RowFile
from experiments.support.runs import training_seconds
from experiments.support.scaling_fit import fit_size, fit_size_and_data

SIZES = np.array([6e4, 2e5, 8e5, 3e6])


def test_a_power_law_of_size_is_found_again() -> None:
    law = fit_size(SIZES, 12 / SIZES**0.1)

    assert law.scale == pytest.approx(12)
    assert law.exponent == pytest.approx(0.1)


def test_a_law_of_size_and_data_is_found_again() -> None:
    sizes, seen = (grid.ravel() for grid in np.meshgrid(SIZES, np.geomspace(1e6, 1e8, 12)))
    bits = 0.8 + 40 / sizes**0.3 + 300 / seen**0.4

    law = fit_size_and_data(np.stack([sizes, seen, bits], axis=1))

    assert (law.floor, law.a, law.b) == pytest.approx((0.8, 0.3, 0.4), rel=1e-3)
    assert law(sizes, seen) == pytest.approx(bits)
    assert law.relative_error < 1e-5


def test_one_jump_in_a_curve_hardly_bends_the_fit() -> None:
    sizes, seen = (grid.ravel() for grid in np.meshgrid(SIZES, np.geomspace(1e6, 1e8, 12)))
    bits = 0.8 + 40 / sizes**0.3 + 300 / seen**0.4
    jumped = bits.copy()
    jumped[20] *= 1.5

    law = fit_size_and_data(np.stack([sizes, seen, jumped], axis=1))

    assert law(sizes, seen) == pytest.approx(bits, rel=0.02)


def row(name: str, size: float, bits: float) -> dict[str, Any]:
    seen = [500_000, 1_500_000, 3_000_000, 4_500_000, 5_500_000]
    return {
        "model": name, "num_parameters": int(size), "bytes_seen": 6_000_000,
        "validation_bits_per_byte": bits, "short_bytes": 4_500_000, "sequence_length": 2048,
        "short_sequence_length": 512, "share_read_before": 0.2,
        "training_curve": [[s, bits * (6e6 / s) ** 0.1] for s in seen],
    }  # fmt: skip


ROWS = [row(name, size, 12 / size**0.1) for name, size in zip("abcd", SIZES, strict=True)]


def test_only_points_past_the_warm_up_and_of_one_length_are_fitted() -> None:
    points = scaling_law.curve_points(ROWS)

    assert len(points) == 3 * len(ROWS)
    assert set(points[:, 1]) == {1_500_000, 3_000_000, 4_500_000}


def test_the_table_has_the_law_and_the_last_row_of_each_model() -> None:
    old = {**ROWS[1], "validation_bits_per_byte": 9.0}

    texts = scaling_law.derived_texts([old, *ROWS])

    assert "L(N) = 12.00 / N^0.100 over 4 finished runs" in texts["table.md"]
    assert "9.000" not in texts["table.md"]
    assert texts["summary.csv"].count("\n") == 1 + 5 * len(ROWS)
    assert len(scaling_law.draw(ROWS).axes) == 2


def test_recorded_curves_stand_in_for_runs_that_are_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = RowFile(tmp_path / "records.jsonl")
    file.append({**ROWS[0], "model": paper.LADDER[0]})

    scaling_law.measure(file, tmp_path / "runs")

    assert len(file.rows) == 1
    said = capsys.readouterr().err
    assert f"{paper.LADDER[0]}: no finished run in runs, taken from the records" in said
    assert f"{paper.LADDER[1]}: no finished run in runs, left out" in said


def test_training_time_is_what_the_log_ends_with(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 20, "seconds": 7}\n{"step": 40, "seconds": 15}\n')

    assert training_seconds(log) == 15
