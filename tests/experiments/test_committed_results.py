"""What is committed of the paper's experiments is what their records give, of the models here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from experiments import (
    EXPERIMENTS,
    figure_2,
    figure_4,
    findings,
    ladder_table,
    round_trips,
    table_1,
)
from experiments.support import records, table_1_intervals, table_1_tables
from experiments.support.records import RESULTS
from lmcompress.benchmark.records import Record, append_rows, read_jsonl, read_rows
from lmcompress.models.store import folders, load_model

Texts = dict[str, str]
TABLE_1 = RESULTS / table_1.NAME / "records.jsonl"
MADE_OF_RECORDS = {"default_against_classical", "figure_2", "model_sizes"}
"""Those whose `derived_texts` takes `Record`s, not rows."""
MODULES = [importlib.import_module(f"experiments.{name}") for name in EXPERIMENTS]
FROM_ROWS = {
    module.NAME: module.derived_texts
    for module in MODULES
    if hasattr(module, "derived_texts") and module.NAME not in MADE_OF_RECORDS
}
OF_THE_PAPER = (
    "architectures", "candidates", "figure_2", "figure_3", "figure_4", "ladder_table",
    "scaling_law", "table_1", "table_2",
)  # fmt: skip
FROM_RECORDS: dict[str, Callable[[list[Record]], Texts]] = {
    table_1.NAME: table_1_tables.derived_texts,
    figure_2.NAME: figure_2.derived_texts,
}


def table_1_texts() -> Texts:
    chunks = read_rows(TABLE_1.with_name(table_1_intervals.FILE))
    return table_1_tables.derived_texts(read_jsonl(TABLE_1), chunks)


def committed(name: str, texts: Texts) -> Texts:
    return {file: (RESULTS / name / file).read_text("utf-8") for file in texts}


@pytest.mark.parametrize("name", FROM_ROWS)
def test_committed_tables_are_those_of_the_committed_rows(name: str) -> None:
    texts = FROM_ROWS[name](read_rows(RESULTS / name / "records.jsonl"))

    assert committed(name, texts) == texts


@pytest.mark.parametrize("name", FROM_RECORDS)
def test_committed_tables_are_those_of_the_committed_records(name: str) -> None:
    rows = read_jsonl(TABLE_1)
    texts = FROM_RECORDS[name](rows) if name != table_1.NAME else table_1_texts()

    assert committed(name, texts) == texts


def test_each_file_of_round_trips_came_back() -> None:
    rows = read_rows(RESULTS / round_trips.NAME / "records.jsonl")
    assert {row["corpus_sha256"] == row["decoded_sha256"] for row in rows} == {True}


def test_a_changed_file_of_a_model_that_is_not_shown_yet_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = read_rows(RESULTS / round_trips.NAME / "records.jsonl")[0]
    folder = tmp_path / "results" / round_trips.NAME
    folder.mkdir(parents=True)
    append_rows([good | {"fingerprint": "of before"}] * 2, folder / "records.jsonl")
    changed = good | {"corpus": "empty", "round_trip_ok": False}
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(round_trips, "all_names", lambda: ["empty"])
    monkeypatch.setattr(round_trips, "round_trip", lambda *_: [changed])

    result = CliRunner().invoke(round_trips.main)

    assert result.exit_code == 1
    assert "came back changed: empty" in result.output


def test_round_trips_show_the_next_model_once_it_has_as_many_files() -> None:
    rows = [{"fingerprint": model, "corpus": name} for model in "ab" for name in ("y", "x")]

    assert round_trips.rows_to_show(rows[:3]) == [rows[1], rows[0]]
    assert round_trips.rows_to_show(rows) == [rows[3], rows[2]]


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_no_result_is_of_code_that_nobody_can_see(name: str) -> None:
    path = RESULTS / ("table_1" if name == figure_2.NAME else name) / "records.jsonl"

    assert {row["git_dirty"] for row in read_rows(path)} == {False}


def test_every_size_in_table_1_is_that_of_a_decoded_file() -> None:
    for record in read_jsonl(TABLE_1):
        assert record.round_trip_ok == (record.compressed_bytes is not None)
        assert (record.bits_per_byte is None) == (record.compressed_bytes is None)
        assert record.round_trip_ok or record.quantized_code_length_bits


@pytest.mark.parametrize("name", [table_1.NAME, figure_4.NAME, ladder_table.NAME])
def test_results_are_of_the_models_in_the_package(name: str) -> None:
    here = {load_model(model).fingerprint.hex() for model in folders()}
    rows = read_rows(RESULTS / name / "records.jsonl")

    assert {row["fingerprint"] for row in rows} - {"", bytes(16).hex()} <= here


def test_findings_and_their_page_are_those_of_the_records() -> None:
    page = findings.PAGE.read_text("utf-8")

    assert committed(findings.NAME, {"table.md": ""})["table.md"] == findings.markdown()
    assert findings.page_text(page) == page
    assert len(findings.table()) == 5
