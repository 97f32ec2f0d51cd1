"""Drawing is decoding from chance, and a price is a code length."""

from __future__ import annotations

import functools
import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import lmcompress
from experiments import figure_3
from experiments.support.generation import (
    CodecSource,
    ModelSource,
    chance,
    fill,
    freqs_of_sizes,
    price,
    runs_of,
)
from lmcompress import CodecConfig
from lmcompress.benchmark import classical
from lmcompress.benchmark.records import read_rows
from lmcompress.models.store import Model, load_model
from lmcompress.range_coder import check_freqs

RAW = b"It was the best of times, it was the worst of times; it was the age of wisdom"
FREE = np.arange(len(RAW)) % 20 >= 10


def test_a_codecs_probabilities_halve_with_each_bit() -> None:
    sizes = [30] * 256
    sizes[65], sizes[66] = 29, 28

    weights = freqs_of_sizes(sizes)

    check_freqs(weights)
    frequencies = 1 + weights[0]
    assert frequencies[66] / frequencies[65] == pytest.approx(256, rel=1e-3)
    assert frequencies[65] / frequencies[67] == pytest.approx(256, rel=0.02)


def test_gzip_believes_in_repetition() -> None:
    raw = b"abcdefgh" * 40
    free = np.arange(len(raw)) >= len(raw) - 8

    bits = price(CodecSource(classical.get("gzip-9")), raw, free)
    other = price(CodecSource(classical.get("gzip-9")), raw[:-8] + b"hgfedcba", free)

    assert bits < other


def test_a_codecs_price_is_what_its_lengths_say() -> None:
    sizes = [len(gzip.compress(RAW[:-1] + bytes([b]), 9, mtime=0)) for b in range(256)]
    probs = 2.0 ** (-8.0 * (np.array(sizes) - min(sizes)))
    free = np.arange(len(RAW)) == len(RAW) - 1

    found = price(CodecSource(classical.get("gzip-9")), RAW, free)

    assert found == pytest.approx(-np.log2(probs[RAW[-1]] / probs.sum()), abs=1e-3)


@pytest.mark.parametrize("adaptive", [True, False], ids=["stage", "alone"])
def test_a_models_price_of_all_bytes_is_its_score(tiny_model: Model, adaptive: bool) -> None:
    with ModelSource.open(tiny_model, len(RAW), adaptive=adaptive) as source:
        found = price(source, RAW, np.ones(len(RAW), bool))

    config = CodecConfig(lanes=1, adaptive=adaptive)
    expected = lmcompress.score(RAW, tiny_model, config).quantized_bits_per_byte
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("adaptive", [True, False], ids=["stage", "alone"])
def test_reading_at_once_is_reading_byte_by_byte(tiny_model: Model, adaptive: bool) -> None:
    prices = []
    for reads_at_once in (True, False):
        with ModelSource.open(tiny_model, len(RAW), adaptive=adaptive) as source:
            if reads_at_once:
                source.read(RAW[:60])
            else:
                for byte in RAW[:60]:
                    source.price(byte)
            prices.append(source.price(RAW[60]))

    assert prices[0] == prices[1]


def test_filling_keeps_what_is_given_and_repeats_with_its_seed(tiny_model: Model) -> None:
    def filled(seed: int) -> bytes:
        with ModelSource.open(tiny_model, len(RAW), adaptive=True) as source:
            return fill(source, RAW, FREE, np.random.default_rng(seed))

    made = [filled(seed) for seed in (1, 1, 2)]

    assert made[0] == made[1] != made[2]
    given = ~FREE
    arrays = [np.frombuffer(raw, np.uint8) for raw in (RAW, made[0])]
    assert np.array_equal(arrays[0][given], arrays[1][given])


def test_draws_follow_the_frequencies() -> None:
    weights = np.zeros((1, 256), np.float32)
    weights[0, :2] = ((1 << 24) - 256) * 3 // 4, (1 << 24) - 256 - ((1 << 24) - 256) * 3 // 4
    generator = np.random.default_rng(0)

    counts = Counter(int(chance(generator).decode(weights)[0]) for _ in range(4000))

    assert counts[0] == pytest.approx(3000, abs=120)
    assert counts[1] == pytest.approx(1000, abs=120)


def test_runs_join_to_the_whole() -> None:
    runs = list(runs_of(RAW, FREE))

    assert b"".join(part for part, _ in runs) == RAW
    assert [free for _, free in runs[:3]] == [False, True, False]


def test_the_stage_alone_can_be_a_source() -> None:
    with ModelSource.open(load_model("none"), len(RAW), adaptive=True) as source:
        assert price(source, RAW, FREE) < 8


def test_figure_3_goes_on_after_a_kill_in_the_middle_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gzip_9 = classical.get("gzip-9")
    source = figure_3.Named("gzip-9", gzip_9.version, functools.partial(CodecSource.open, gzip_9))
    free = np.arange(len(RAW)) >= len(RAW) - 2
    heads = [figure_3.record_head("text", item, source, RAW, free) for item in range(3)]
    monkeypatch.setattr(
        figure_3, "tasks", lambda *, quick: ((source, head, RAW, free) for head in heads)
    )
    figure_3.run(tmp_path, quick=True)
    path = tmp_path / "records.jsonl"
    before = path.read_bytes()
    path.write_bytes(before[:-20])

    figure_3.run(tmp_path, quick=True)

    rows = read_rows(path)
    assert [row["item"] for row in rows] == [0, 1, 2]
    assert path.read_bytes()[: len(before) // 2] == before[: len(before) // 2]


def test_figure_3_counts_the_pieces_that_all_sources_have_continued() -> None:
    def row(source: str, item: int, version: str = "2") -> dict[str, object]:
        return {"source": source, "version": version, "modality": "text", "item": item}

    whole = [row(source, 0) for source in ("gzip-9", "ladder-50k")]
    rows = [row("gzip-9", 1, "1"), *whole, row("gzip-9", 2), row("ladder-50k", 1)]

    assert figure_3.current(rows) == whole
