"""`explain` and `score --per-byte`: what they write, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import TEXT, Run, assert_one_line_error, names


def test_a_page_stands_beside_its_file(run: Run, text_file: Path) -> None:
    assert run("explain", text_file, "-m", "tiny") == (0, b"", "")

    built = text_file.with_name("book.txt.html").read_text("utf-8")
    assert built.startswith("<!DOCTYPE html>")
    assert built.rstrip().endswith("</html>")
    assert "<title>Where the bits go: book.txt</title>" in built


def test_two_models_are_compared_on_stdout(run: Run, text_file: Path) -> None:
    result = run("explain", text_file, "-m", "tiny", "-m", "none", "-o", "-")

    assert (result.code, result.stderr) == (0, "")
    assert b"side by side" in result.stdout
    assert names(text_file.parent) == ["book.txt"]


def test_a_page_of_stdin_needs_a_name(run: Run) -> None:
    result = run("explain", "-", "-m", "tiny", stdin=TEXT)

    assert result.code == 2
    assert "name the page with -o" in result.stderr


def test_three_models_are_too_many(run: Run, text_file: Path) -> None:
    result = run("explain", text_file, *["-m", "tiny"] * 3)

    assert result.code == 2
    assert "found 3" in result.stderr


def test_a_page_that_is_there_stays(run: Run, text_file: Path) -> None:
    there = text_file.with_name("book.txt.html")
    there.write_text("mine")

    assert_one_line_error(run("explain", text_file, "-m", "tiny"), "book.txt.html")
    assert there.read_text() == "mine"


def test_a_page_never_replaces_its_text(run: Run, text_file: Path) -> None:
    result = run("explain", text_file, "-m", "tiny", "-o", text_file, "-f")

    assert_one_line_error(result, "is the input")
    assert text_file.read_bytes() == TEXT


def test_an_empty_file_has_no_page(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()

    assert_one_line_error(run("explain", empty, "-m", "tiny"), "empty")
    assert names(tmp_path) == ["empty"]


def columns(path: Path) -> dict[str, list[object]]:
    if path.suffix == ".npz":
        return {name: column.tolist() for name, column in np.load(path).items()}
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
        return {name: [row[name] for row in rows] for name in rows[0]}
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pydict()  # type: ignore[no-any-return]


@pytest.mark.parametrize("ending", ["parquet", "csv", "npz"])
def test_a_table_has_what_each_byte_costs(run: Run, text_file: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    out = text_file.with_name(f"costs.{ending}")

    result = run("score", text_file, "-m", "tiny", "--per-byte", out, "--json")

    [row] = json.loads(result.stdout)
    table = columns(out)
    total = sum(float(str(bits)) for bits in table["bits"])
    assert total == pytest.approx(row["cost_bits"])
    assert 0 <= 8 * row["payload_bytes"] - total <= 64
    assert bytes(int(str(byte)) for byte in table["byte"]) == TEXT
    assert {"model_bits", "predictor", "likeliest_1", "chance_5", "for_network"} <= set(table)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--per-byte", "out.txt"], ".parquet, .csv, .npz"),
        (["--per-byte", "out.csv", "other.txt"], "takes one FILE, found 2"),
        (["--per-byte", "out.csv", "--float"], "leave out --float"),
    ],
)
def test_tables_that_cannot_be_are_refused(
    run: Run, text_file: Path, args: list[str], expected: str
) -> None:
    result = run("score", text_file, "-m", "tiny", *args)

    assert result.code == 2
    assert expected in result.stderr
    assert names(text_file.parent) == ["book.txt"]


def test_a_table_that_is_there_stays(run: Run, text_file: Path) -> None:
    out = text_file.with_name("out.csv")
    out.write_text("mine")

    assert_one_line_error(run("score", text_file, "-m", "tiny", "--per-byte", out), "out.csv")
    assert out.read_text() == "mine"
