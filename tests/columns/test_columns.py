"""Columns of tables: every record comes back, and the columns beside them stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lmcompress
from lmcompress import CodecConfig, LmcompressError, Prompt
from lmcompress.columns import ColumnCompressor, ColumnDecompressor, ColumnScorer
from lmcompress.columns.cells import compress_cell, decompress_cell
from lmcompress.columns.source import BATCH_ROWS, check_columns, read_table
from lmcompress.columns.work import (
    ColumnSize,
    ColumnWork,
    compressed_columns,
    model_of,
    write_parquet,
)
from lmcompress.models.store import load_model

pyarrow = pytest.importorskip("pyarrow", reason="tables need pyarrow: pip install '.[tables]'")
parquet = pytest.importorskip("pyarrow.parquet")

ROWS = [
    {"id": i, "title": f"№ {i}", "text": None if i % 9 == 4 else f"{i} sheep, {i * i} more; " * 3}
    for i in range(2 * BATCH_ROWS + 5)
]
PROMPT = CodecConfig(prompt=Prompt(b"5 sheep, 25 more; 6 sheep, 36 more; " * 20), threads=2)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=50)
    return path


def written(made: Any, path: Path) -> Path:
    with path.open("wb") as sink:
        write_parquet(made, sink)
    return path


@pytest.mark.parametrize("kind", ["string", "large_string", "binary"])
def test_columns_come_back_with_their_types_and_all_others_stay(tmp_path: Path, kind: str) -> None:
    whole = pyarrow.Table.from_pylist(ROWS)
    place = whole.schema.get_field_index("text")
    field = pyarrow.field("text", pyarrow.type_for_alias(kind))
    whole = whole.cast(whole.schema.set(place, field))
    parquet.write_table(whole, tmp_path / "rows.parquet")
    work, sizes = ColumnWork(["text", "title"], load_model("none"), PROMPT), []

    made = work.compressed(read_table(str(tmp_path / "rows.parquet")).batches, sizes)
    small = read_table(str(written(made, tmp_path / "small.parquet")))

    assert small.schema.names == ["id", "title.lmc", "text.lmc"]
    assert sorted(compressed_columns(small.schema)) == ["text", "title"]
    assert model_of(small.schema, ["text"]) == "none"
    back = written(work.decompressed(small.batches), tmp_path / "back.parquet")
    assert parquet.read_table(back).equals(whole)
    [text, _] = sizes
    frames = parquet.read_table(tmp_path / "small.parquet").column("text.lmc").to_pylist()
    raw = [row["text"] for row in ROWS if row["text"] is not None]
    assert text == ColumnSize(
        "text", len(raw), sum(map(len, raw)), 8 * sum(len(f) for f in frames if f is not None)
    )
    assert text.bits_per_byte is not None
    assert text.bits_per_byte < 6


def test_each_record_is_a_file_that_decompress_reads(stored: Path) -> None:
    work = ColumnWork(["title"], load_model("none"), PROMPT)

    [first, *_] = work.compressed(read_table(str(stored)).batches, [])

    frame = first.column("title.lmc")[3].as_py()
    assert lmcompress.decompress(frame, config=PROMPT).decode() == ROWS[3]["title"]


def test_a_record_may_be_larger_than_a_segment() -> None:
    config = CodecConfig(segment_bytes=10)

    frame = compress_cell(b"a record of more bytes", "none", config)

    assert decompress_cell(frame, "none", config) == b"a record of more bytes"


def test_a_damaged_record_is_named(stored: Path, tmp_path: Path) -> None:
    damaged = BATCH_ROWS + 3
    work = ColumnWork(["text", "title"], load_model("none"), PROMPT)
    whole = pyarrow.Table.from_batches(work.compressed(read_table(str(stored)).batches, []))
    cells = whole.column("title.lmc").to_pylist()
    cells[damaged] = cells[damaged][:-1] + bytes([cells[damaged][-1] ^ 1])
    place = whole.schema.get_field_index("title.lmc")
    whole = whole.set_column(place, whole.schema.field(place), [cells])
    parquet.write_table(whole, tmp_path / "damaged.parquet")

    with pytest.raises(LmcompressError) as found:
        list(work.decompressed(read_table(str(tmp_path / "damaged.parquet")).batches))

    assert str(found.value).startswith(f"column 'title.lmc', record {damaged + 1}: ")
    assert "--salvage" not in str(found.value)  # which takes a file


def test_a_batch_of_a_mapped_dataset_has_records_of_its_own() -> None:
    with pytest.raises(LmcompressError, match=r"column 'n', record 2 of its batch: .* type int"):
        ColumnScorer(["n"], "none")({"n": ["one", 2]})


def test_scores_are_those_of_each_record(stored: Path) -> None:
    sizes: list[ColumnSize] = []
    work = ColumnWork(["text"], load_model("none"), CodecConfig())

    [first, *rest] = work.scored(read_table(str(stored)).batches, sizes)

    assert first.schema.names == ["id", "title", "text.bits"]
    found = first.column("text.bits").to_pylist()
    expected = lmcompress.score(str(ROWS[0]["text"]).encode(), "none")
    assert found[0] == expected.quantized_code_length_bits
    assert found[4] is None
    every = [x for batch in (first, *rest) for x in batch.column("text.bits").to_pylist() if x]
    assert sizes[0].bits == pytest.approx(sum(every))


def test_json_lines_are_read_like_parquet(tmp_path: Path, stored: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), "utf-8")

    tables = [pyarrow.Table.from_batches(read_table(str(p)).batches) for p in (path, stored)]

    assert tables[0].to_pylist() == tables[1].to_pylist()


def test_a_dataset_of_the_library_is_read_and_mapped(tmp_path: Path, stored: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs datasets: pip install '.[datasets]'")
    folder = tmp_path / "dataset"
    folder.mkdir()
    stored.rename(folder / "train.parquet")

    table = read_table(f"hf:{folder}::train")
    whole = datasets.Dataset.from_list(ROWS)
    args = ["title"], "none", CodecConfig(threads=1)
    small = whole.map(ColumnCompressor(*args), batched=True, remove_columns=["title"])
    back = small.map(ColumnDecompressor(*args), batched=True)
    scored = whole.map(ColumnScorer(*args), batched=True)

    assert [row["id"] for batch in table.batches for row in batch.to_pylist()] == whole["id"]
    assert list(back["title"]) == [row["title"] for row in ROWS]
    assert list(back["id"]) == list(range(len(ROWS)))
    assert min(scored["title.bits"]) > 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["txt"], r"no column 'txt': did you mean text\? there are id, title, text"),
        (["id"], "column 'id' holds int64, expected text or bytes"),
    ],
)
def test_a_column_that_cannot_be_worked_on_is_named(
    stored: Path, columns: list[str], message: str
) -> None:
    with pytest.raises(LmcompressError, match=message):
        check_columns(read_table(str(stored)).schema, columns)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.txt", b"x", "cannot read .* as a table: expected a .parquet, .jsonl"),
        ("rows.parquet", b"no such thing", "cannot read .* as a table"),
        ("rows.jsonl", b"{]", "cannot read .* as a table"),
        ("rows.jsonl", b"", "cannot read .* as a table"),
    ],
)
def test_what_is_no_table_is_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(LmcompressError, match=message) as caught:
        read_table(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_empty_table_is_named(tmp_path: Path) -> None:
    schema = pyarrow.schema({"text": pyarrow.string()})
    parquet.write_table(schema.empty_table(), tmp_path / "rows.parquet")

    with pytest.raises(LmcompressError, match="is empty, expected at least one record"):
        read_table(str(tmp_path / "rows.parquet"))
