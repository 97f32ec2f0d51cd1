"""Vocabularies are compared by files of the raw text, and a row is not measured twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import table_2
from experiments.support.modalities import Sample
from experiments.support.records import RowFile
from lmcompress.gpt.config import GPTConfig
from lmcompress.training.config import TrainConfig

TEXT = "".join(
    f"Nº {i}: naïve cafés sell {i * 7 % 90} crêpes; the crowd said so.\r\n" for i in range(400)
).encode()
HELD_OUT = b"zyzzyva " * 40


@pytest.fixture(autouse=True)
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcompress.training.batches._read_source", lambda name: TEXT + HELD_OUT)


def config(vocab_size: int) -> TrainConfig:
    model = GPTConfig(vocab_size=vocab_size, n_layer=1, n_embd=16, n_head=1, context_length=32)
    return TrainConfig(
        name=f"v{vocab_size}", model=model, sources={table_2.TEXT: 1.0}, total_bytes=2_000,
        batch_size=2, sequence_length=32, holdout_bytes=len(HELD_OUT), learning_rate=1e-2,
        warmup_steps=2, precision="float32",
    )  # fmt: skip


def test_tokenizers_are_the_same_each_time_and_have_not_read_what_is_held_out(
    tmp_path: Path,
) -> None:
    digests = [table_2.tokenizer_of(config(size), tmp_path)[1] for size in (300, 300, 350)]
    path, _ = table_2.tokenizer_of(config(350), tmp_path)

    assert digests[0] == digests[1] != digests[2]
    vocabulary = json.loads(Path(path).read_text("utf-8"))["model"]["vocab"]
    assert len(vocabulary) == 350
    assert any("crowd" in token for token in vocabulary)
    assert not any("zyz" in token for token in vocabulary)


def test_bytes_need_no_tokenizer(tmp_path: Path) -> None:
    assert table_2.tokenizer_of(config(256), tmp_path) == ("", "")


def test_a_row_is_of_files_and_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Sample("extract", "a text", TEXT[:600])
    file = RowFile(tmp_path / "records.jsonl")
    table_2.measure(file, tmp_path, [config(256), config(300)], sample)
    again = RowFile(tmp_path / "records.jsonl")
    monkeypatch.setattr(table_2, "finished_run", lambda *_: 1 / 0)
    table_2.measure(again, tmp_path, [config(256), config(300)], sample)

    assert again.rows == file.rows
    plain, tokens = file.rows
    assert [row["tokenizer"] for row in file.rows] == ["bytes", "BPE 300"]
    assert plain["bytes_per_token"] == 1 < tokens["bytes_per_token"]
    assert tokens["num_steps"] < plain["num_steps"] == round(2_000 / 64)
    for row in file.rows:
        assert row["bits_per_byte"] == 8 * row["compressed_bytes"] / 600
        assert 0 < row["compressed_bytes_with_stage"] < row["compressed_bytes"]


def test_contexts_and_blocks_are_equal() -> None:
    for width in table_2.WIDTHS:
        small, large = (table_2.train_config(size, width, 1000) for size in (256, 20_000))

        assert small.model.context_length == large.model.context_length
        parts = [c.model.num_parameters_by_part for c in (small, large)]
        assert parts[0]["mlp"] == parts[1]["mlp"]
        assert small.learning_rate == large.learning_rate


def test_the_best_of_each_width_is_bold_and_only_the_last_budget_is_shown() -> None:
    head = {"block_parameters": 10, "num_parameters": 20, "bytes_per_token": 1.0, "num_steps": 5,
            "raw_bytes": 100, "corpus": "c", "trained_on": "t"}  # fmt: skip
    rows = [
        {**head, "tokenizer": name, "vocab_size": size, "width": 32, "raw_bytes_seen": seen,
         "bits_per_byte": bits, "compressed_bytes_with_stage": 25}
        for name, size, seen, bits in (
            ("bytes", 256, 10, 1.0), ("bytes", 256, 99, 3.0), ("BPE 1,000", 1000, 99, 2.5),
        )
    ]  # fmt: skip

    table = table_2.derived_texts(rows)["table.md"]

    assert "**2.500**" in table
    assert "| bytes | 32 | 10 | 20 | 1.00 | 5 | 3.000 | 37.5 | 2.000 |" in table
    assert "1.000 | 12.5" not in table
    assert len(table_2.draw(rows).axes) == 1
