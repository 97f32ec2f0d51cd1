"""`lmcompress columns`: tables on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import Run, assert_one_line_error, names

parquet = pytest.importorskip("pyarrow.parquet", reason="tables need pyarrow")

ROWS = [{"id": i, "text": f"{i} sheep, and one more"} for i in range(9)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_a_table_goes_there_and_back(run: Run, tmp_path: Path, table: Path) -> None:
    small, back = tmp_path / "small.parquet", tmp_path / "back.parquet"

    made = run("columns", "compress", str(table), "-c", "text", "-m", "none", "-o", str(small))
    restored = run("columns", "decompress", str(small), "-o", str(back))

    assert made.code == restored.code == 0, made.stderr + restored.stderr
    assert parquet.read_table(back).to_pylist() == ROWS
    sizes = [len(frame.as_py()) for frame in parquet.read_table(small).column("text.lmc")]
    raw = sum(len(row["text"]) for row in ROWS)
    rate = 8 * sum(sizes) / raw
    assert made.stdout.decode() == f"text: 9 records, {raw} bytes, {rate:.4f} bits per byte\n"


def test_scores_come_as_json(run: Run, table: Path) -> None:
    result = run("columns", "score", str(table), "-c", "text", "-m", "none", "--json")

    [row] = json.loads(result.stdout)
    assert (row["column"], row["records"]) == ("text", 9)
    assert row["bits_per_byte"] == row["bits"] / row["raw_bytes"]


def test_a_column_that_is_named_twice_is_one(run: Run, table: Path) -> None:
    once, twice = (run("columns", "score", str(table), "-c", names, "-m", "none")
                   for names in ("text", "text,text"))  # fmt: skip

    assert (twice.code, twice.stdout) == (0, once.stdout)


def test_columns_may_be_named_one_by_one(run: Run, table: Path) -> None:
    result = run("columns", "score", str(table), "-c", "text", "-c", "nowhere", "-m", "none")

    assert_one_line_error(result, "no column 'nowhere'")


@pytest.mark.parametrize(
    ("action", "columns", "taken"),
    [
        ("compress", ["text", "text.lmc"], "text.lmc"),
        ("score", ["text", "text.bits"], "text.bits"),
        ("decompress", ["text", "text.lmc"], "text"),
    ],
)
def test_a_column_that_is_there_is_not_made_again(
    run: Run, tmp_path: Path, action: str, columns: list[str], taken: str
) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps(dict.fromkeys(columns, "a")) + "\n")

    result = run("columns", action, str(tmp_path / "t.jsonl"), "-c", "text", "-m", "none",
                 "-o", str(tmp_path / "out.parquet"))  # fmt: skip

    assert_one_line_error(result, f"the table has a column {taken!r}", "rename it")
    assert names(tmp_path) == ["t.jsonl"]


def test_no_table_is_left_half_written(run: Run, tmp_path: Path, table: Path) -> None:
    with table.open("a") as file:
        file.write('{"id": 9, "text": 7}\n')

    result = run("columns", "compress", str(table), "-c", "text", "-m", "none",
                 "-o", str(tmp_path / "small.parquet"))  # fmt: skip

    assert_one_line_error(result, "cannot read", "rows.jsonl")
    assert names(tmp_path) == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compress", "t.parquet", "-c", "text"], "name it with -o"),
        (["score", "t.parquet"], "name the columns to work on"),
        (["compress", "t.parquet", "-c", "text", "-o", "x.jsonl"], "-o writes Parquet"),
    ],
)
def test_what_is_missing_is_asked_for(run: Run, arguments: list[str], message: str) -> None:
    result = run("columns", *arguments)

    assert result.code == 2
    assert message in result.stderr


def test_a_table_without_compressed_columns_is_named(run: Run, tmp_path: Path, table: Path) -> None:
    result = run("columns", "decompress", str(table), "-o", str(tmp_path / "x.parquet"))

    assert_one_line_error(result, "rows.jsonl has no compressed column, whose name ends in .lmc")
