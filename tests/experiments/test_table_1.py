"""Table 1 has files where a model compresses and scores where it does not, and marks which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from experiments import figure_2, table_1
from experiments.support import modalities, table_1_intervals
from experiments.support.modalities import CHUNK_BYTES, Sample
from experiments.support.paper import ChunkedModelCodec
from experiments.support.records import Row, RowFile
from experiments.support.table_1_drawing import draw
from experiments.support.table_1_tables import (
    current,
    derived_texts,
    lines_of,
    published_lines,
    rate,
)
from lmcompress.benchmark import classical
from lmcompress.benchmark.harness import ModelCodec
from lmcompress.benchmark.provenance import describe_run
from lmcompress.benchmark.records import Record
from lmcompress.codec.config import CodecConfig
from lmcompress.models.store import Model, load_model
from tests.support.record_factory import make_record

TEXT = b"It was the best of times,\r\nit was the worst of times; the age of wisdom. " * 60
RAW = TEXT[: 2 * CHUNK_BYTES]
NOISE = np.random.default_rng(1).integers(0, 256, 2 * CHUNK_BYTES, np.uint8).tobytes()
RUN = describe_run("test")
TEXT_NAME, RANDOM_NAME = "enwik8@0+4096", "pcg64@0+4096"


def test_a_model_that_compresses_gives_a_file(tiny_model: Model) -> None:
    record = table_1.model_row(ChunkedModelCodec(tiny_model, len(RAW), 1), TEXT_NAME, RAW, RUN)

    assert record.round_trip_ok
    assert record.compressed_bytes is not None
    assert rate(record) == record.compressed_bytes / len(RAW) < 1


def test_a_model_that_does_not_is_scored(tiny_model: Model) -> None:
    codec = ChunkedModelCodec(tiny_model, len(NOISE), 1)

    record = table_1.model_row(codec, RANDOM_NAME, NOISE, RUN)

    assert not record.round_trip_ok
    assert record.compressed_bytes is record.bits_per_byte is None
    assert record.quantized_code_length_bits is not None
    assert rate(record) == record.quantized_code_length_bits / 8 / len(NOISE) > 1


def test_a_head_that_misleads_changes_the_way_but_not_the_row(tiny_model: Model) -> None:
    codec = ModelCodec(tiny_model, CodecConfig(adaptive=False, threads=1))
    probe = table_1.PROBE_BYTES
    noise_first = NOISE[:probe] + RAW * 4
    noise_last = RAW[:probe] + NOISE * 4

    assert table_1.model_row(codec, TEXT_NAME, noise_first, RUN).round_trip_ok
    assert not table_1.model_row(codec, TEXT_NAME, noise_last, RUN).round_trip_ok


@pytest.fixture(scope="module")
def records(tiny_model_root: Path) -> list[Record]:
    model = load_model(tiny_model_root / "tiny")
    codecs = ChunkedModelCodec(model, len(RAW), 1), ModelCodec(model)
    return [
        table_1.model_row(codec, name, raw, RUN)
        for codec in codecs
        for name, raw in ((TEXT_NAME, RAW), (RANDOM_NAME, NOISE))
    ]


def test_tables_mark_what_is_scored_and_what_is_published(records: list[Record]) -> None:
    table = derived_texts(records)["table.md"]

    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| tiny |")]
    chunked = next(row for row in rows if row[1] == "2,048")
    assert chunked[2] == "measured"
    assert "(scored)" not in chunked[3]
    adjusted = [row for row in rows if row[2] == "projected" and row[1] == "2,048"]
    for row in (chunked, *adjusted):
        assert row[-1].endswith("(scored) |")
    assert len(adjusted) == 1
    published = [line for line in table.splitlines() if line.startswith("| Chinchilla 70B |")]
    assert published
    assert all("| published |" in line for line in published)


def test_adjusted_rates_count_the_model_in_a_gigabyte(
    records: list[Record], tiny_model: Model
) -> None:
    line = next(line for line in lines_of(records) if line.is_chunked)
    table = derived_texts(records)["table.md"]

    expected = 100 * (line.rates["text"] + 2 * tiny_model.num_parameters / 10**9)
    assert f"| tiny | 2,048 | projected | {expected:,.1f} |" in table


def test_published_rows_are_the_papers() -> None:
    lines = {(line.compressor, line.is_chunked): line for line in published_lines()}

    assert len(lines) == 15
    assert lines["Transformer 3.2M", True].rates == pytest.approx(
        {"text": 0.17, "images": 2.158, "speech": 2.282, "random": 2.24}
    )
    assert lines["gzip", False].rates["text"] == pytest.approx(0.323)
    for line in lines.values():
        assert line.is_published
        for name in modalities.MODALITIES:
            added = line.adjusted[name] - line.rates[name]
            assert added == pytest.approx(2 * line.num_parameters / 1e9, abs=0.0011)


def test_the_figure_tells_files_scores_and_published_apart(records: list[Record]) -> None:
    figure = draw(records, [])

    drawn = {
        line.get_marker() for axes in figure.axes for line in axes.lines if len(line.get_xdata())
    }
    assert {"o", "x"} <= drawn
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "tiny" in labels
    assert "gzip, published" in labels


def test_figure_2_projects_the_measured_rate(records: list[Record], tiny_model: Model) -> None:
    rows = figure_2.points(records)

    assert {row["data_set_bytes"] for row in rows} == set(figure_2.DATA_SET_BYTES)
    assert {row["sample"] for row in rows} == {"text"}
    for row in rows:
        added = 2 * tiny_model.num_parameters / row["data_set_bytes"]
        assert row["projected_adjusted_rate"] == pytest.approx(row["raw_rate"] + added)
    assert figure_2.best(rows)["data_set_bytes"] == max(figure_2.DATA_SET_BYTES)


def test_a_killed_run_goes_on(tiny_model: Model, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    sample = Sample("text", TEXT_NAME, RAW)

    for _ in range(2):
        table_1.measure_chunks(path, [sample], [tiny_model], RUN)

    assert [record.codec for record in table_1.records_of(path)] == ["tiny (chunks of 2,048)"]


@pytest.fixture
def chunks(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    monkeypatch.setattr(table_1_intervals, "BLOCK_CHUNKS", 1)
    file = RowFile(tmp_path / table_1_intervals.FILE)
    sample = Sample("text", TEXT_NAME, TEXT[: 2 * CHUNK_BYTES])
    for _ in range(2):  # the second time, all is there
        table_1_intervals.measure("test", file, sample, [classical.get("gzip-9")], [tiny_model])
    return file.rows


def test_rates_have_the_intervals_of_their_chunks(records: list[Record], chunks: list[Row]) -> None:
    shown = next(line for line in lines_of(records, chunks) if line.is_chunked)
    table = derived_texts(records, chunks)["table.md"]

    assert [len(row["bits_of_chunks"]) for row in chunks] == [2, 2]
    assert shown.half_widths.keys() == {"text"}
    in_chunks = sum(chunks[1]["bits_of_chunks"]) / 8 / len(RAW)
    assert in_chunks < shown.rates["text"] < in_chunks + 100 / len(RAW)  # the file has a header
    assert f"{100 * shown.rates['text']:.1f} ± {100 * shown.half_widths['text']:.1f} |" in table


def test_the_figure_draws_the_intervals(records: list[Record], chunks: list[Row]) -> None:
    half_width = next(line for line in lines_of(records, chunks) if line.half_widths).half_widths
    bars = [
        segment[1][0] - segment[0][0]
        for container in draw(records, chunks).axes[0].containers
        for segment in container.lines[2][0].get_segments()
    ]

    assert max(bars) == pytest.approx(200 * half_width["text"])
    assert sum(bar > 0 for bar in bars) == 1  # published rates have none


def chunk_rows(bits: dict[str, Sequence[float]]) -> list[Row]:
    return [
        {"codec": f"{name} (chunks of 2,048)", "bits_of_chunks": list(found)}
        for name, found in bits.items()
    ]


def test_a_difference_is_clear_if_its_interval_leaves_out_nothing() -> None:
    drawn = np.random.default_rng(3).normal(1000, 200, 320)
    rows = chunk_rows({"a": drawn, "b": drawn * 1.01 + 1, "c": drawn[::-1]})

    assert table_1_intervals.is_clearly_less(rows, "a", "b")
    assert not table_1_intervals.is_clearly_less(rows, "b", "a")
    assert not table_1_intervals.is_clearly_less(rows, "a", "c")


def test_neighbours_that_are_alike_count_as_few() -> None:
    articles = np.random.default_rng(3).normal(1.0, 0.2, 40)
    gain = np.repeat(articles, table_1_intervals.BLOCK_CHUNKS)  # of each chunk, as its article's
    independent = np.random.default_rng(4).permutation(gain)

    def width(ratio: npt.NDArray[np.float64]) -> float:
        [row] = chunk_rows({"a": 1000 * ratio})
        found = table_1_intervals.intervals([{**row, "corpus": "text"}])
        return next(iter(found.values())).half_width

    assert width(gain) > 2 * width(independent)


def test_the_chunks_measured_last_count() -> None:
    rows = [*chunk_rows({"a": [9.0] * 32, "b": [8.0] * 32}), *chunk_rows({"a": [7.0] * 32})]

    assert table_1_intervals.is_clearly_less(rows, "a", "b")


def test_a_cell_of_a_smaller_sample_says_so() -> None:
    small, large = (modalities.sample("random", count * CHUNK_BYTES) for count in (2, 3))
    rows = [
        make_record(codec, sample.name, 4096, raw_bytes=len(sample.raw))
        for codec, sample in (("tiny", small), ("gzip-9", large))
    ]

    assert [record.raw_bytes for record in current(rows)] == [4096, 6144]
    table = derived_texts(rows)["table.md"]
    assert "random pcg64@0+6144." in table
    assert "| tiny | none | measured | – | – | – | – | 100.0 (4 KiB) |" in table  # noqa: RUF001
    assert "| gzip-9 | none | measured | – | – | – | – | 66.7 |" in table  # noqa: RUF001
