"""Quick rates are compared with the committed ones: what differs is found, the rest passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from experiments.support import quick_rates
from experiments.support.records import RESULTS
from lmcompress.benchmark.records import append_rows, read_rows
from lmcompress.models.store import folders, load_model

ROW: dict[str, Any] = {
    "modality": "text", "codec": "lmc-3m", "codec_version": "", "fingerprint": "ab",
    "corpus_sha256": "cd", "mean_rates": [0.5, 0.25], "machine": "here",
}  # fmt: skip


def compared(folder: Path, found: dict[str, Any]) -> quick_rates.Comparison:
    (folder / "figure_4").mkdir()
    (folder / "figure_4" / "records.jsonl").write_text(json.dumps(ROW) + "\n")
    rows = list(quick_rates.rows_of("figure_4", folder))
    (folder / "expected.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "figure_4" / "records.jsonl").write_text(json.dumps(found) + "\n")
    return quick_rates.compare(["figure_4", "speed"], folder, folder / "expected.jsonl")


def test_another_machine_with_the_same_rates_is_equal(tmp_path: Path) -> None:
    found = compared(tmp_path, {**ROW, "machine": "there", "mean_rates": [0.50001, 0.25]})

    assert (found.num_equal, found.num_unknown, found.different) == (1, 0, [])


@pytest.mark.parametrize("rates", [[0.51, 0.25], [0.5], None])
def test_other_rates_are_found(tmp_path: Path, rates: list[float] | None) -> None:
    found = compared(tmp_path, {**ROW, "mean_rates": rates})

    assert found.num_equal == 0
    assert "lmc-3m" in found.different[0]


def test_another_version_is_passed_over(tmp_path: Path) -> None:
    found = compared(tmp_path, {**ROW, "codec_version": "2", "mean_rates": [0.1, 0.1]})

    assert (found.num_equal, found.num_unknown, found.different) == (0, 1, [])


@pytest.mark.parametrize(
    ("found", "expected", "is_equal"),
    [(7, 7, True), (7, 8, False), ({"a": 1.0}, {"a": 1.0001}, True),
     ({"a": 1.0}, {"b": 1.0}, False), (1e6, 1e6 + 1e-4, True),
     ("x", "y", False), (None, None, True), (None, 1.0, False)],
)  # fmt: skip
def test_floats_are_equal_nearly_and_all_else_exactly(
    found: Any, expected: Any, is_equal: bool
) -> None:
    assert quick_rates.is_equal(found, expected) == is_equal


def test_the_committed_rows_are_of_the_models_in_the_package() -> None:
    rows = read_rows(quick_rates.EXPECTED)
    here = {load_model(name).fingerprint.hex() for name in folders()}

    assert {row["experiment"] for row in rows} == set(quick_rates.EXACT)
    assert {row.get("fingerprint", "") for row in rows} - {"", bytes(16).hex()} <= here


def test_nothing_to_compare_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_rates, "RESULTS", tmp_path)
    monkeypatch.setattr(quick_rates, "EXPECTED", tmp_path / "quick.jsonl")
    (tmp_path / "quick.jsonl").touch()

    quick_rates.report(["speed"])  # it has no rates
    with pytest.raises(click.ClickException, match="no row in results/quick to compare"):
        quick_rates.report(["speed", "figure_4"])


def test_the_rows_of_one_experiment_are_written_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quick_rates, "RESULTS", tmp_path)
    monkeypatch.setattr(quick_rates, "EXPECTED", tmp_path / "quick.jsonl")
    committed = read_rows(RESULTS / "quick.jsonl")
    append_rows(committed, tmp_path / "quick.jsonl")
    [first, *_] = [row for row in committed if row["experiment"] == "figure_4"]
    (tmp_path / "quick" / "figure_4").mkdir(parents=True)
    append_rows([first], tmp_path / "quick" / "figure_4" / "records.jsonl")

    result = CliRunner().invoke(quick_rates.main, ["figure_4", "--write"])

    assert result.exit_code == 0, result.output
    assert read_rows(tmp_path / "quick.jsonl") == [
        row for row in committed if row["experiment"] != "figure_4" or row == first
    ]
