"""Tables say what the records say."""

from __future__ import annotations

import dataclasses

import pytest

from lmcompress.errors import LmcompressError
from lmcompress.report.tables import corpus_labels, rate_table, replace_between_markers, speed_table
from tests.support.record_factory import make_record


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_rate_table_has_codecs_by_files_best_in_bold_and_best_total_first():
    records = [
        make_record("stored", "x/a.txt", 1000),
        make_record("stored", "x/b.txt", 3000, raw_bytes=3000),
        make_record("gzip-9", "x/a.txt", 250),
        make_record("gzip-9", "x/b.txt", 1500, raw_bytes=3000),
        make_record("tiny", "x/a.txt", 500, num_parameters=7),
        make_record("tiny", "x/b.txt", 300, raw_bytes=3000, num_parameters=7),
    ]

    assert rows(rate_table(records)) == [
        ["bits per byte", "a.txt", "b.txt", "all"],
        ["---", "---:", "---:", "---:"],
        ["tiny", "4.000", "**0.800**", "**1.600**"],
        ["gzip-9", "**2.000**", "4.000", "3.500"],
        ["stored", "8.000", "8.000", "8.000"],
    ]


def test_codec_that_lacks_a_file_has_no_total_and_stands_last():
    records = [
        make_record("gzip-9", "a.txt", 500),
        make_record("gzip-9", "b.txt", 500),
        make_record("tiny", "a.txt", 100),
    ]

    assert rows(rate_table(records))[2:] == [
        ["gzip-9", "4.000", "**4.000**", "**4.000**"],
        ["tiny", "**0.800**", "–", "–"],  # noqa: RUF001
    ]


def test_rate_table_of_one_file_lists_sizes_and_rates():
    records = [
        make_record("gzip-9", "a.txt", 400),
        make_record("tiny", "a.txt", 300, num_parameters=9, model_bytes=5000),
    ]

    assert rows(rate_table(records)) == [
        ["codec", "compressed bytes", "bits per byte", "raw rate", "adjusted rate"],
        ["---", "---:", "---:", "---:", "---:"],
        ["tiny", "300", "**2.400**", "**0.3000**", "5.3000"],
        ["gzip-9", "400", "3.200", "0.4000", "**0.4000**"],
    ]


def test_rows_that_were_only_scored_are_not_in_the_rate_table():
    records = [make_record("gzip-9", "a.txt", 400), make_record("scored", "a.txt", None)]

    assert "scored" not in rate_table(records)
    with pytest.raises(LmcompressError, match="no record has compressed bytes"):
        rate_table(records[1:])


def test_empty_file_has_a_size_and_no_rate():
    records = [make_record("gzip-9", "empty", None, raw_bytes=0)]
    records = [dataclasses.replace(records[0], compressed_bytes=20)]

    assert rows(rate_table(records))[2] == ["gzip-9", "20", "–", "–", "–"]  # noqa: RUF001


def test_rate_table_tells_the_range_the_sizes_and_the_versions():
    table = rate_table([make_record("gzip-9", "enwik/enwik8@3000+1000", 400)])

    assert "Raw bytes: enwik8 1,000 (from offset 3,000)." in table
    assert "gzip-9: 1.0" in table


def test_rate_table_has_no_times_and_speed_table_no_rates():
    records = [make_record("gzip-9", "a.txt", 400), make_record("gzip-9", "b.txt", 400)]

    assert "kB/s" not in rate_table(records)
    assert "bits per byte" not in speed_table(records)


def test_speed_is_all_bytes_over_all_seconds():
    records = [
        make_record("gzip-9", "a.txt", 1, compress_seconds=0.25, decompress_seconds=0.001),
        make_record(
            "gzip-9", "b.txt", 1, raw_bytes=9000, compress_seconds=0.75, decompress_seconds=0.009
        ),
    ]

    assert rows(speed_table(records))[2] == ["gzip-9", "10", "1,000", "cpu", "1", "2 of 2"]


def test_speeds_of_two_machines_stand_in_two_tables():
    records = [
        make_record("gzip-9", "a.txt", 1, machine="one"),
        make_record("xz-9e", "a.txt", 1, machine="two"),
    ]

    table = speed_table(records)

    assert table.index("Machine: one") < table.index("gzip-9") < table.index("Machine: two")
    assert table.count("xz-9e") == 1


def test_stored_copies_nothing_and_has_no_speed():
    records = [make_record("gzip-9", "a.txt", 400), make_record("stored", "a.txt", 1000)]

    assert "stored" in rate_table(records)
    assert "stored" not in speed_table(records)


def test_speeds_on_small_files_carry_a_warning():
    small, large = (make_record("gzip-9", "a", 99, raw_bytes=size) for size in (99_999, 100_000))

    assert "overstate fast codecs" in speed_table([small])
    assert "overstate" not in speed_table([large])


def test_labels_are_short_unless_two_files_share_one():
    assert corpus_labels(["x/a.txt", "y/b.txt@0+10"]) == {
        "x/a.txt": "a.txt",
        "y/b.txt@0+10": "b.txt",
    }
    assert corpus_labels(["x/a", "y/a", "c"]) == {"x/a": "x/a", "y/a": "y/a", "c": "c"}


def test_bar_in_a_name_does_not_break_the_table():
    assert r"| a\|b |" in rate_table([make_record("a|b", "a.txt", 4)])


def test_table_is_replaced_between_its_markers_only():
    text = "top\n<!-- begin t -->\nold\n<!-- end t -->\nrest\n"

    replaced = replace_between_markers(text, "t", "| new |\n")

    assert replaced == "top\n<!-- begin t -->\n| new |\n<!-- end t -->\nrest\n"
    assert replace_between_markers(replaced, "t", "| new |") == replaced


@pytest.mark.parametrize(
    "text",
    [
        "no marker",
        "<!-- begin t -->",
        "<!-- end t --><!-- begin t -->",
        "<!-- begin t --><!-- begin t --><!-- end t -->",
    ],
    ids=["none", "no-end", "reversed", "two-begins"],
)
def test_markers_that_are_not_one_pair_raise(text):
    with pytest.raises(LmcompressError, match="expected each once"):
        replace_between_markers(text, "t", "table")
