"""Records survive writing, kills and reading, and say what they are."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest

from lmcompress.benchmark import provenance
from lmcompress.benchmark.provenance import command_line, describe_run, machine_name
from lmcompress.benchmark.records import (
    append_jsonl,
    csv_text,
    latest,
    read_jsonl,
    to_csv,
    to_json,
)
from lmcompress.errors import LmcompressError, UnsupportedVersionError
from tests.support.record_factory import make_record

GZIP = make_record("gzip-9", "a.txt", 400)
MODEL = make_record(
    "tiny", "a.txt", 300, num_parameters=12345, model_bytes=500, fingerprint="ab" * 16,
    lanes=1, segment_bytes=1 << 24, payload_bytes=200, ideal_code_length_bits=1599.25,
    quantized_code_length_bits=1600.5, num_threads=2, torch_version="2.13.0",
)  # fmt: skip


def test_written_records_are_read_back(tmp_path):
    path = tmp_path / "records.jsonl"

    append_jsonl([GZIP], path)
    append_jsonl([MODEL], path)

    assert read_jsonl(path) == [GZIP, MODEL]


def test_append_creates_the_file(tmp_path):
    append_jsonl([GZIP, MODEL], tmp_path / "records.jsonl")

    assert read_jsonl(tmp_path / "records.jsonl") == [GZIP, MODEL]


def test_every_tear_of_the_last_line_loses_that_line_only(tmp_path, caplog):
    path = tmp_path / "records.jsonl"
    append_jsonl([GZIP, MODEL], path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1

    for size in range(first + 1, len(whole) - 1):
        path.write_bytes(whole[:size])
        caplog.clear()

        assert read_jsonl(path) == [GZIP]
        assert "incomplete last line" in caplog.text


def test_append_after_a_tear_cuts_it_off(tmp_path, caplog):
    path = tmp_path / "records.jsonl"
    append_jsonl([GZIP, MODEL], path)
    path.write_bytes(path.read_bytes()[:-20])

    with caplog.at_level(logging.WARNING):
        append_jsonl([MODEL], path)

    assert "removed an incomplete last line" in caplog.text
    assert read_jsonl(path) == [GZIP, MODEL]


def test_append_keeps_a_whole_line_that_lost_its_newline(tmp_path):
    path = tmp_path / "records.jsonl"
    append_jsonl([GZIP], path)
    path.write_bytes(path.read_bytes()[:-1])

    append_jsonl([MODEL], path)

    assert read_jsonl(path) == [GZIP, MODEL]


def test_damage_before_the_last_line_raises_and_names_the_line(tmp_path):
    path = tmp_path / "records.jsonl"
    append_jsonl([GZIP, MODEL, GZIP], path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:-20] + b"\n" + lines[2])

    with pytest.raises(LmcompressError, match=r"records\.jsonl, line 2"):
        read_jsonl(path)


def test_record_of_another_schema_raises(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(dataclasses.asdict(GZIP) | {"schema_version": 2}) + "\n")

    with pytest.raises(UnsupportedVersionError, match="schema version 2, expected 1"):
        read_jsonl(path)


@pytest.mark.parametrize("line", ["[]", "1", '{"schema_version": 1, "corpus": "a"}'])
def test_json_that_is_no_record_raises(tmp_path, line):
    path = tmp_path / "records.jsonl"
    path.write_text(line + "\n")

    with pytest.raises(LmcompressError, match="line 1"):
        read_jsonl(path)


def test_csv_keeps_integers_beside_gaps(tmp_path):
    to_csv([GZIP, MODEL], tmp_path / "records.csv")

    text = (tmp_path / "records.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["num_parameters"] for row in rows] == ["0", "12345"]
    assert [row["payload_bytes"] for row in rows] == ["", "200"]
    assert [row["compressed_bytes"] for row in rows] == ["400", "300"]
    assert rows[1]["bits_per_byte"] == "2.4"
    assert list(rows[0]) == [field.name for field in dataclasses.fields(GZIP)]


def test_csv_of_a_name_that_is_no_unicode_is_written(tmp_path):
    to_csv([make_record("gzip-9", "bad\udcff.txt", 1)], tmp_path / "records.csv")

    assert rb"bad\udcff.txt" in (tmp_path / "records.csv").read_bytes()


def test_csv_may_refuse_to_overwrite(tmp_path):
    path = tmp_path / "records.csv"
    to_csv([GZIP], path)

    with pytest.raises(LmcompressError, match="exists"):
        to_csv([MODEL], path, overwrite=False)

    assert path.read_text() == csv_text([dataclasses.asdict(GZIP)])


def test_json_is_the_records_fields():
    assert json.loads(to_json([GZIP, MODEL])) == [
        dataclasses.asdict(GZIP),
        dataclasses.asdict(MODEL),
    ]


def test_latest_takes_the_last_of_each_codec_and_corpus():
    again = dataclasses.replace(GZIP, compressed_bytes=399)
    other = make_record("gzip-9", "b.txt", 10)

    assert latest([GZIP, MODEL, other, again]) == [again, MODEL, other]


def test_latest_leaves_out_rows_of_an_earlier_model():
    other_corpus = dataclasses.replace(MODEL, corpus="b.txt")
    retrained = dataclasses.replace(MODEL, fingerprint="cd" * 16)

    assert latest([MODEL, other_corpus, retrained]) == [retrained]


def test_run_info_names_versions_and_no_host():
    run = describe_run("a command")

    assert run.command == "a command"
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", run.run_id)
    assert run.python_version.split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    assert run.torch_version is not None
    assert "CPU" in run.machine
    assert (run.git_commit is None) == (run.git_dirty is None)


@pytest.mark.parametrize(
    ("flags", "instructions"),
    [
        ("flags\t\t: fpu avx2 avx512_vnni amx_int8", "AMX"),
        ("flags\t\t: fpu avx2 avx512_vnni", "AVX-512 VNNI"),
        ("flags\t\t: fpu avx2", "AVX2"),
        ("Features\t: fp asimd asimddp", "NEON sdot"),
    ],
)
def test_a_machine_is_named_with_its_instructions(
    flags: str, instructions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: A CPU\n{flags}\n\n")
    monkeypatch.setattr(provenance, "_CPU_INFO", tmp_path / "cpuinfo")

    assert machine_name().endswith(f", {instructions}")


def test_runs_have_different_ids():
    assert describe_run("").run_id != describe_run("").run_id


def test_command_loses_the_folders_of_absolute_paths():
    path = str(Path("/home/someone/book.txt").resolve())

    assert command_line([path, "--lanes", "8", "a/b.txt"]) == "book.txt --lanes 8 a/b.txt"
