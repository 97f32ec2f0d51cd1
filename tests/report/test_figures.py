"""Figures are a function of the records alone."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from lmcompress.errors import LmcompressError
from lmcompress.report.figures import plot_bits_per_byte
from tests.support.record_factory import make_record

RECORDS = [
    make_record(codec, corpus, size, num_parameters=7 if codec == "tiny" else 0)
    for corpus, factor in (("x/a.txt", 1), ("x/b.txt", 2))
    for codec, size in (("stored", 1000), ("gzip-9", 150 * factor), ("tiny", 100 * factor))
]


def texts(svg: bytes) -> list[str]:
    tree = ElementTree.fromstring(svg)
    return [node.text or "" for node in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_equal_records_give_equal_svg(tmp_path):
    plot_bits_per_byte(RECORDS, tmp_path / "one.svg")
    plot_bits_per_byte(RECORDS, tmp_path / "two.svg")

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_figure_names_codecs_files_values_and_unit(tmp_path):
    plot_bits_per_byte(RECORDS, tmp_path / "figure.svg")

    found = texts((tmp_path / "figure.svg").read_bytes())
    assert {"a.txt", "b.txt", "gzip-9", "tiny", "0.80", "1.60", "1.20", "2.40"} <= set(found)
    assert "bits per byte (8 x compressed bytes / raw bytes), lower is better" in found
    assert "stored" not in found


def test_titles_say_where_a_part_of_a_file_begins(tmp_path):
    corpora = "x/a.txt", "x/b.txt@3000000+10"
    records = [make_record("gzip-9", corpus, 5, raw_bytes=10) for corpus in corpora]

    plot_bits_per_byte(records, tmp_path / "figure.svg")

    found = texts((tmp_path / "figure.svg").read_bytes())
    assert {"a.txt", "b.txt"} <= set(found)
    assert [text for text in found if "offset" in text] == ["from offset 3,000,000"]


def test_best_codec_stands_on_top(tmp_path):
    plot_bits_per_byte(RECORDS, tmp_path / "figure.svg")

    found = texts((tmp_path / "figure.svg").read_bytes())
    assert found.index("tiny") < found.index("gzip-9")


def test_codec_without_a_row_for_one_file_is_drawn_for_the_other(tmp_path):
    plot_bits_per_byte([*RECORDS, make_record("xz-9e", "x/b.txt", 999)], tmp_path / "figure.svg")

    assert "7.99" in texts((tmp_path / "figure.svg").read_bytes())


def test_png_is_a_png(tmp_path):
    plot_bits_per_byte(RECORDS, tmp_path / "figure.png")

    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_other_suffix_raises(tmp_path):
    with pytest.raises(LmcompressError, match=r"expected a name in \.svg or \.png"):
        plot_bits_per_byte(RECORDS, tmp_path / "figure.jpeg")


def test_nothing_to_draw_raises_and_writes_nothing(tmp_path):
    with pytest.raises(LmcompressError, match="no record"):
        plot_bits_per_byte([make_record("scored", "a", None)], tmp_path / "figure.svg")

    assert not list(tmp_path.iterdir())


def test_plot_may_refuse_to_overwrite(tmp_path):
    (tmp_path / "figure.svg").write_text("mine")

    with pytest.raises(LmcompressError, match="exists"):
        plot_bits_per_byte(RECORDS, tmp_path / "figure.svg", overwrite=False)

    assert (tmp_path / "figure.svg").read_text() == "mine"
