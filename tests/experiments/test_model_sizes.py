"""The size experiment's committed table is its records', and its figure shows them."""

from __future__ import annotations

from experiments import model_sizes
from experiments.support.codec_rows import derived_texts, in_order
from experiments.support.records import RESULTS
from lmcompress.benchmark.records import read_jsonl
from lmcompress.corpora.registry import info, split_range
from lmcompress.models.store import load_model

FOLDER = RESULTS / model_sizes.NAME


def test_committed_table_equals_that_made_from_the_committed_records() -> None:
    records = in_order(read_jsonl(FOLDER / "records.jsonl"), model_sizes.CORPORA)

    texts = derived_texts(records, model_sizes.CORPORA)

    assert {name: (FOLDER / name).read_text("utf-8") for name in texts} == texts
    assert all(record.round_trip_ok for record in records)


def test_committed_rows_are_of_the_models_in_the_package() -> None:
    for record in read_jsonl(FOLDER / "records.jsonl"):
        if record.fingerprint:
            name = record.codec.removesuffix(model_sizes.ALONE)
            assert record.fingerprint == load_model(name).fingerprint.hex()


def test_figure_has_a_panel_for_all_and_for_each_text_and_a_point_for_each_model() -> None:
    records = in_order(read_jsonl(FOLDER / "records.jsonl"), model_sizes.CORPORA)

    figure = model_sizes.figure_of(records, model_sizes.CORPORA)

    assert len(figure.axes) == 1 + len(model_sizes.CORPORA)
    models = {r.codec for r in records if r.codec.startswith("ladder")}
    for axes in figure.axes:
        lines = [line for line in axes.lines if line.get_label() in model_sizes.COLORS]
        assert sum(len(line.get_xdata()) for line in lines) == len(models)


def test_texts_are_test_text() -> None:
    for name in model_sizes.CORPORA:
        corpus, (_, byte_range) = info(name), split_range(name)

        assert corpus.split == "test"
        assert byte_range is not None
        assert byte_range[1] <= corpus.raw_bytes
