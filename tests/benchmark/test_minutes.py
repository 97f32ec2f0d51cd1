"""The minutes of an experiment are those of the runs whose rows it still has."""

from __future__ import annotations

from pathlib import Path

from lmcompress.benchmark.minutes import Minutes, remember_minutes
from lmcompress.benchmark.records import append_rows


def test_minutes_of_several_runs_add_up_and_a_killed_one_is_seen(tmp_path: Path) -> None:
    append_rows([{"run_id": "a"}, {"run_id": "a"}], tmp_path / "records.jsonl")
    remember_minutes(tmp_path, "a", 60)
    append_rows([{"run_id": "killed"}], tmp_path / "records.jsonl")
    append_rows([{"run_id": "b"}], tmp_path / "chunks.jsonl")
    remember_minutes(tmp_path, "b", 30)

    assert Minutes.of(tmp_path) == Minutes(1.5, 3, 4)
    assert str(Minutes.of(tmp_path)) == "3 of 4 rows in 1.5 minutes"


def test_a_run_that_finds_all_rows_there_does_not_count(tmp_path: Path) -> None:
    append_rows([{"run_id": "a"}] * 2, tmp_path / "records.jsonl")
    remember_minutes(tmp_path, "a", 60)
    remember_minutes(tmp_path, "b", 6)

    assert Minutes.of(tmp_path) == Minutes(1, 2, 2)
    assert str(Minutes.of(tmp_path)) == "2 rows in 1.0 minutes"


def test_a_run_whose_rows_were_measured_again_does_not_count(tmp_path: Path) -> None:
    append_rows([{"run_id": "a"}], tmp_path / "records.jsonl")
    remember_minutes(tmp_path, "a", 60)
    (tmp_path / "records.jsonl").unlink()
    append_rows([{"run_id": "b"}], tmp_path / "records.jsonl")
    remember_minutes(tmp_path, "b", 120)

    assert Minutes.of(tmp_path) == Minutes(2, 1, 1)


def test_what_has_no_records_took_no_time(tmp_path: Path) -> None:
    remember_minutes(tmp_path / "none", "a", 60)

    assert Minutes.of(tmp_path / "none") == Minutes(0, 0, 0)
    assert not (tmp_path / "none").exists()
