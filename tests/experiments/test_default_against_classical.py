"""The experiment resumes where it was stopped, and its committed tables are its records'."""

from __future__ import annotations

import pytest

from experiments import default_against_classical
from experiments.support.records import RESULTS
from lmcompress.benchmark import harness
from lmcompress.benchmark.harness import ModelCodec, classical_codecs
from lmcompress.benchmark.records import read_jsonl
from lmcompress.codec.config import CodecConfig
from lmcompress.corpora.registry import info, split_range
from lmcompress.models.store import DEFAULT_MODEL, load_model

FILES = {"a.txt": b"It was the best of times. " * 9, "b.txt": b"it was the worst of times; " * 9}


@pytest.fixture(autouse=True)
def _without_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "MIN_LOOP_SECONDS", 0.001)


class Interrupted(ModelCodec):
    """A model during which the user presses Ctrl-C."""

    def compress(self, raw: bytes) -> bytes:
        raise KeyboardInterrupt


def test_stopped_run_goes_on_where_it_was(tiny_model, tmp_path):
    path = tmp_path / "new" / "records.jsonl"
    config = CodecConfig(threads=1)
    gzip = classical_codecs(["gzip"])

    codecs = [*gzip, Interrupted(tiny_model, config)]
    with pytest.raises(KeyboardInterrupt):
        default_against_classical.measure(
            default_against_classical.NAME, list(FILES), codecs, path, FILES.__getitem__
        )
    stopped = read_jsonl(path)
    for _ in range(2):
        codecs = [*gzip, ModelCodec(tiny_model, config)]
        default_against_classical.measure(
            default_against_classical.NAME, list(FILES), codecs, path, FILES.__getitem__
        )

    found = read_jsonl(path)
    assert found[: len(stopped)] == stopped
    assert [(record.corpus, record.codec) for record in found] == [
        ("a.txt", "gzip-9"), ("a.txt", "tiny"), ("b.txt", "gzip-9"), ("b.txt", "tiny"),
    ]  # fmt: skip


def test_other_lanes_are_measured_too(tiny_model, tmp_path):
    for lanes in ("auto", 1, 2):
        codec = ModelCodec(tiny_model, CodecConfig(lanes=lanes, threads=1))
        default_against_classical.measure(
            default_against_classical.NAME,
            ["a.txt"],
            [codec],
            tmp_path / "records.jsonl",
            FILES.__getitem__,
        )

    names = [record.codec for record in read_jsonl(tmp_path / "records.jsonl")]
    assert names == ["tiny", "tiny (1 lane)", "tiny (2 lanes)"]


def test_derived_files_are_a_function_of_the_records(tmp_path):
    codecs = classical_codecs(["gzip", "xz"])
    default_against_classical.measure(
        default_against_classical.NAME,
        list(FILES),
        codecs,
        tmp_path / "records.jsonl",
        FILES.__getitem__,
    )
    records = read_jsonl(tmp_path / "records.jsonl")

    written = []
    for _ in range(2):
        default_against_classical.write_derived(records, list(FILES), tmp_path)
        written.append({path.name: path.read_bytes() for path in sorted(tmp_path.iterdir())})

    assert written[0] == written[1]
    assert list(written[0]) == ["bits-per-byte.svg", "records.jsonl", "summary.csv", "table.md"]
    assert written[0]["summary.csv"].count(b"\n") == 1 + len(records)


def test_corpora_of_the_experiment_are_known_test_text():
    for name in (*default_against_classical.CORPORA, *default_against_classical.QUICK_CORPORA):
        corpus, (_, byte_range) = info(name), split_range(name)

        assert corpus.split == "test"
        assert byte_range is None or byte_range[1] <= corpus.raw_bytes


def test_committed_tables_equal_those_made_from_the_committed_records():
    folder = RESULTS / default_against_classical.NAME
    records = read_jsonl(folder / "records.jsonl")
    page = default_against_classical.PAGE.read_text(encoding="utf-8")

    texts = default_against_classical.derived_texts(records, default_against_classical.CORPORA)

    assert {name: (folder / name).read_text(encoding="utf-8") for name in texts} == texts
    assert default_against_classical.page_text(page, records) == page


def test_committed_rows_of_the_default_model_are_the_embedded_ones():
    records = read_jsonl(RESULTS / default_against_classical.NAME / "records.jsonl")
    fingerprints = {record.fingerprint for record in records if record.codec == DEFAULT_MODEL}

    assert fingerprints == {load_model().fingerprint.hex()}
    assert all(record.round_trip_ok for record in records)
