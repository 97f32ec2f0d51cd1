"""What experiments found: sentences say what records say, whoever is smaller."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from lmcompress.benchmark.records import Record
from lmcompress.report.results import Experiment, Group, Results
from lmcompress.report.sentences import findings, rows_of_table
from lmcompress.report.summary import summary_of
from tests.support.record_factory import make_record

SPEED_ROW = {
    "corpus": "a.txt", "raw_bytes": 2_000_000, "threads": 2, "machine": "m", "instructions": "AVX2",
    "compressed_bytes": 250, "run_id": "1",
}  # fmt: skip
SPEED_ROWS = [
    {**SPEED_ROW, "codec": codec, "action": action, "kB/s": speed}
    for codec, speeds in {
        "default model": (20, 10), "adaptive stage alone": (300, 200), "xz-9e": (3000, 80000),
    }.items()
    for action, speed in zip(("compress", "decompress"), speeds, strict=True)
]  # fmt: skip


def experiment(
    name: str, rows: Sequence[Mapping[str, Any]] = (), table: str = "", figures: Sequence[Any] = ()
) -> Experiment:
    return Experiment(name, name, "", "", table, rows, figures)


def of_records(name: str, records: Sequence[Record]) -> Experiment:
    return experiment(name, [dataclasses.asdict(record) for record in records])


def results_of(*experiments: Experiment) -> Results:
    return Results([Group("all", experiments)], {}, {})


def sentence_of(one: Experiment) -> str:
    found = findings(results_of(one))
    return found[0].text if found else ""


def rates(ours: int, zpaq: int) -> list[Record]:
    model = {"fingerprint": "beef", "num_parameters": 7, "model_bytes": 1_000_000}
    return [
        make_record(codec, corpus, size, raw_bytes=1_000_000, **fields)
        for corpus in ("a", "b")
        for codec, size, fields in (
            ("lmc-3m", ours, model),
            ("zpaq-5", zpaq, {}),
            ("xz-9e", 500_000, {}),
            ("stored", 1_000_000, {}),
        )
    ]


def test_size_is_compared_with_the_best_classical_codec_and_counts_the_model() -> None:
    said = sentence_of(of_records("default_against_classical", rates(250_000, 400_000)))

    assert "On 2 files, 2.0 MB together, lmcompress takes **2.000 bits per byte**" in said
    assert "38 % less than zpaq-5 (3.200) and 50 % less than xz-9e (4.000)" in said
    assert "make it 6.000; compared with xz-9e, they pay for themselves from 4 MB on" in said


def test_size_says_more_where_it_is_more() -> None:
    said = sentence_of(of_records("default_against_classical", rates(600_000, 400_000)))

    assert "50 % more than zpaq-5 (3.200) and 20 % more than xz-9e (4.000)" in said
    assert "compared with xz-9e, they never pay for themselves" in said


def test_languages_are_counted_by_who_is_smaller() -> None:
    records = [
        make_record(codec, corpus, size)
        for corpus, sizes in {"a": (10, 20, 5), "b": (10, 9, 30), "c": (10, 11, 10)}.items()
        for codec, size in zip(("lmc-3m", "zpaq-5", "ppmd-16"), sizes, strict=True)
    ]

    said = sentence_of(of_records("languages_and_logs", records))

    assert "Of 3 texts" in said
    assert "makes 2 smaller than zpaq-5 does, and 1 smaller than ppmd-16" in said


def test_a_file_that_did_not_come_back_is_not_counted_as_one_that_did() -> None:
    rows = [{"raw_bytes": 7, "round_trip_ok": True}, {"raw_bytes": 1234, "round_trip_ok": False}]

    said = sentence_of(experiment("round_trips", rows))

    assert said.startswith("1 of 2 files, from 7 to 1,234 bytes, came back")


def test_speeds_are_those_of_the_newest_run() -> None:
    said = sentence_of(experiment("speed", SPEED_ROWS))

    assert "On 2 MB of text and 2 threads" in said
    assert "**20 kB** and decompresses **10 kB**" in said
    assert "that is 300 and 200 kB; xz-9e, on one thread, does 3,000 and 80,000 kB" in said


def test_parts_are_told_by_what_their_absence_costs() -> None:
    rows = [
        {"bits": {"nothing (bits per byte)": 100.0, "the GPT": gpt, "all but the GPT": stage}}
        for gpt, stage in ((110.0, 150.0), (130.0, 1500.0))
    ]

    said = sentence_of(experiment("adaptive_ablation", rows))

    assert "Of 2 texts, code lengths grow by 10 to 30 % without the network" in said
    assert "by 50 to 1,400 % without the adaptive stage" in said


def test_the_papers_findings_are_counted_by_how_far_they_hold() -> None:
    table = (
        "| question | same direction |\n| --- | --- |\n| a | yes |\n| b | in 2 of 4 cases |\n"
        "| c | no |\n| d | yes |\n"
    )

    said = sentence_of(experiment("findings", table=table))

    assert "Of 4 findings" in said
    assert "2 have the same direction here in every case, 1 in some, 1 in none" in said


def test_false_figures_are_compared_with_their_files() -> None:
    rows = [
        {"claimed": 1.0, "file": 3.0},
        {"claimed": 2.0, "file": 1.5},
        {"claimed": 1, "file": None},
    ]

    said = sentence_of(experiment("claims", rows))

    assert "Of 3 kinds" in said
    assert "2 give a file that can be decoded. 1 of these files are larger than claimed" in said
    assert "up to 3.0 times" in said


@pytest.mark.parametrize(
    "name", ["default_against_classical", "speed", "pretrained", "adaptive_ablation", "claims"]
)
@pytest.mark.parametrize("rows", [[], [{"codec": "gzip-9"}]], ids=["none", "others"])
def test_records_without_what_a_sentence_needs_have_none(name: str, rows: list[Any]) -> None:
    assert sentence_of(experiment(name, rows)) == ""


def test_the_headline_table_has_a_row_for_each_codec_best_first() -> None:
    sizes = of_records("default_against_classical", rates(250_000, 400_000))

    table = summary_of(results_of(sizes, experiment("speed", SPEED_ROWS))).table

    assert [row["codec"] for row in rows_of_table(table, "codec")] == [
        "**lmcompress (lmc-3m)**", "zpaq-5", "xz-9e",
    ]  # fmt: skip
    ours, zpaq, xz = (list(row.values())[1:] for row in rows_of_table(table, "codec"))
    assert ours == ["**2.000**", "**6.000**", "**20**", "**10**"]
    assert zpaq == ["3.200", "3.200", "–", "–"]  # noqa: RUF001
    assert xz == ["4.000", "4.000", "3,000", "80,000"]
    assert "2 files, 2.0 MB together" in table


def test_without_speeds_the_headline_table_has_rates_alone() -> None:
    sizes = of_records("default_against_classical", rates(250_000, 400_000))

    table = summary_of(results_of(sizes)).table

    assert "Speeds" not in table
    assert rows_of_table(table, "codec")[0]["compress kB/s"] == "**–**"  # noqa: RUF001
