"""The picture of rates against speeds: what is in it, its front, and labels that can be read."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lmcompress.benchmark.records import Record
from lmcompress.report.figures import plot_benchmark
from lmcompress.report.rate_against_speed import (
    PAPER,
    draw_rate_against_speed,
    front_corners,
    speed_label,
)
from lmcompress.report.speeds import (
    ACTIONS,
    Speed,
    pareto_front,
    speeds_of_records,
    speeds_of_rows,
)
from tests.support.record_factory import make_record

SPEEDS = [
    Speed("small", 1.0, 10, 20, is_ours=True),
    Speed("fast", 3.0, 1000, 5000),
    Speed("between", 2.0, 100, 200),
    Speed("worse", 2.5, 50, 300),
]


def timed(codec: str, corpus: str, size: int, seconds: float, **fields: object) -> Record:
    return make_record(
        codec, corpus, size, compress_seconds=seconds, decompress_seconds=seconds / 2, **fields
    )


def texts(svg: Path) -> list[str]:
    tree = ElementTree.fromstring(svg.read_bytes())
    return [node.text or "" for node in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_speeds_are_all_bytes_over_all_seconds_of_codecs_with_every_file() -> None:
    records = [
        timed("tiny", "a", 100, 1.0, fingerprint="beef"),
        timed("tiny", "b", 600, 1.0, fingerprint="beef", raw_bytes=3000),
        timed("gzip-9", "a", 500, 0.5),
        timed("stored", "a", 1000, 1e-9),
    ]

    assert speeds_of_records(records) == [Speed("tiny", 1.4, 2.0, 4.0, is_ours=True)]


def test_rows_of_the_fastest_machine_are_taken_and_the_default_model_gets_its_name() -> None:
    row = {
        "corpus": "a.txt", "raw_bytes": 1000, "threads": 2, "machine": "m", "instructions": "AVX2",
        "compressed_bytes": 250,
    }  # fmt: skip
    rows = [
        {**row, "codec": codec, "action": action, "kB/s": speed, "run_id": run}
        for run, speed in (("1", 5), ("2", 7), ("3", 6))
        for codec in ("default model", "gzip-9")
        for action in ACTIONS
    ]

    found = speeds_of_rows([*rows, {"what": "scoring", "run_id": "4"}])

    assert [one.codec for one in found.rows] == ["lmc-3m", "gzip-9"]
    assert [one.is_ours for one in found.rows] == [True, False]
    assert {one.compress for one in found.rows} == {7}
    assert found.rows[0].bits_per_byte == 2.0


def test_front_has_those_that_no_other_beats_in_both() -> None:
    assert [one.codec for one in pareto_front(SPEEDS, "compress")] == ["small", "between", "fast"]
    assert [one.codec for one in pareto_front(SPEEDS, "decompress")] == [
        "small", "between", "worse", "fast",
    ]  # fmt: skip


def test_of_equals_in_one_the_better_in_the_other_is_on_the_front() -> None:
    speeds = [Speed("a", 2.0, 10, 10), Speed("b", 1.0, 10, 10), Speed("c", 1.0, 5, 5)]

    assert [one.codec for one in pareto_front(speeds, "compress")] == ["b"]


def test_line_goes_up_where_the_smaller_codec_is_no_longer_fast_enough() -> None:
    corners = front_corners(pareto_front(SPEEDS, "compress"), "compress")

    assert corners == [(10, 1.0), (10, 2.0), (100, 2.0), (100, 3.0), (1000, 3.0)]


@pytest.mark.parametrize(
    ("speed", "label"),
    [(0.1, "0.1 kB/s"), (10, "10 kB/s"), (1e3, "1 MB/s"), (1e5, "100 MB/s"), (1e6, "1 GB/s")],
)
def test_speeds_are_labelled_in_their_unit(speed: float, label: str) -> None:
    assert speed_label(speed) == label


def test_labels_of_dots_close_together_do_not_overlap() -> None:
    speeds = [Speed(f"codec-{i}", 2 + i / 50, 100 * 1.5**i, 1000 * 1.3**i) for i in range(6)]
    speeds += [Speed("the slowest of all", 1.9, 90, 10), Speed("the fastest", 2.2, 1e6, 1e7)]
    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    canvas = FigureCanvasAgg(figure)

    draw_rate_against_speed(figure, speeds)

    canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 8
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        assert all(axes.bbox.padded(1).contains(*box.min) for box in boxes)
        assert all(axes.bbox.padded(1).contains(*box.max) for box in boxes)


def test_one_codec_alone_is_drawn(tmp_path: Path) -> None:
    plot_benchmark([timed("gzip-9", "a.txt", 500, 0.1)], tmp_path / "figure.svg")

    assert {"gzip-9", "compression speed"} <= set(texts(tmp_path / "figure.svg"))


def test_a_benchmark_shows_bars_speeds_and_the_front(tmp_path: Path) -> None:
    records = [
        timed("tiny", "a.txt", 100, 1.0, fingerprint="beef"),
        timed("adaptive stage alone", "a.txt", 150, 0.1, fingerprint="0000"),
        timed("gzip-9", "a.txt", 300, 1e-5),
    ]

    plot_benchmark(records, tmp_path / "figure.svg")
    plot_benchmark(records, tmp_path / "again.svg")

    found = texts(tmp_path / "figure.svg")
    assert {"0.80", "compression speed", "decompression speed", "1 kB/s"} <= set(found)
    assert [found.count(codec) for codec in ("tiny", "adaptive stage alone", "gzip-9")] == [3, 3, 3]
    assert any("Pareto front" in text for text in found)
    svg = (tmp_path / "figure.svg").read_bytes()
    assert svg == (tmp_path / "again.svg").read_bytes()
    bars = [line for line in svg.decode().splitlines() if f"fill: {PAPER.ours.lower()}" in line]
    assert len(bars) >= 2 + 4, "two bars and two dots in each panel"


def test_without_times_there_are_bars_alone(tmp_path: Path) -> None:
    record = make_record("gzip-9", "a.txt", 300, compress_seconds=None)

    plot_benchmark([record], tmp_path / "figure.svg")

    assert "compression speed" not in texts(tmp_path / "figure.svg")
