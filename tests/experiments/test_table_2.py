"""Vocabularies are compared by the bytes of the raw text, and a killed training goes on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import table_2
from experiments.support.token_training import (
    Tokenizer,
    TokenTrainer,
    code_length_bits,
    whole_characters,
)
from lmcompress.gpt.config import GPTConfig
from lmcompress.training.config import TrainConfig

TEXT = "".join(
    f"Nº {i}: naïve cafés sell {i * 7 % 90} crêpes; the crowd said so.\r\n" for i in range(400)
).encode()


@pytest.mark.parametrize("vocab_size", [256, 300, 500])
def test_tokens_give_the_text_back_and_fit_the_vocabulary(vocab_size: int) -> None:
    tokens = Tokenizer(vocab_size, TEXT).encode(TEXT)

    assert tokens.dtype == np.int64
    assert tokens.max() < vocab_size
    assert (len(tokens) == len(TEXT)) == (vocab_size == 256)


def test_larger_vocabularies_give_fewer_tokens_and_the_same_each_time() -> None:
    lengths = [len(Tokenizer(size, TEXT).encode(TEXT)) for size in (256, 300, 500)]

    assert lengths == sorted(lengths, reverse=True)
    assert Tokenizer(300, TEXT).sha256 == Tokenizer(300, TEXT).sha256
    assert Tokenizer(300, TEXT).sha256 != Tokenizer(500, TEXT).sha256


def test_a_cut_character_is_left_out() -> None:
    assert whole_characters("é5€".encode()[1:-1]) == b"5"


def test_code_length_of_a_uniform_model_is_that_of_its_alphabet() -> None:
    tokens = np.arange(1003) % 300

    bits = code_length_bits(lambda inputs: torch.zeros(*inputs.shape, 300), tokens, 64, 0)

    assert bits == pytest.approx(1003 * math.log2(300))


def test_pieces_stand_alone_and_begin_with_the_first_token() -> None:
    seen: list[list[int]] = []

    def network(inputs: torch.Tensor) -> torch.Tensor:
        seen.extend(inputs.tolist())
        return torch.zeros(*inputs.shape, 300)

    code_length_bits(network, np.arange(10, 17), 3, 5)

    assert seen == [[5, 10, 11], [5, 13, 14], [5]]


def config(total: int) -> TrainConfig:
    model = GPTConfig(vocab_size=300, n_layer=1, n_embd=16, n_head=1, context_length=32)
    return TrainConfig(
        name="t", model=model, sources={table_2.TEXT: 1.0}, total_bytes=total, batch_size=2,
        sequence_length=32, holdout_bytes=64, learning_rate=1e-2, warmup_steps=2,
        precision="float32", checkpoint_seconds=0.0,
    )  # fmt: skip


@pytest.fixture
def trainer_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lmcompress.training.batches._read_source", lambda name: TEXT)
    tokenizer = Tokenizer(300, TEXT)
    tokens, held = tokenizer.encode(TEXT), tokenizer.encode(TEXT[:3000])

    def make(total: int, folder: str) -> TokenTrainer:
        return TokenTrainer(config(total), tmp_path / folder, tokens, held, 3000)

    return make


def test_training_lowers_the_bits_per_byte_of_the_raw_text(trainer_of) -> None:
    before = trainer_of(64, "a").validate()["validation_bits_per_byte"]["mean"]

    after = trainer_of(64 * 40, "b").run()["validation_bits_per_byte"]["mean"]

    assert after < 0.8 * before


def test_a_killed_training_ends_where_an_unbroken_one_does(trainer_of, monkeypatch) -> None:
    whole = trainer_of(64 * 6, "whole")
    expected = whole.run()
    broken = trainer_of(64 * 6, "broken")
    step = broken._train_step
    monkeypatch.setattr(broken, "_train_step", lambda n: 1 / 0 if n == 3 else step(n))
    with pytest.raises(ZeroDivisionError):
        broken.run()

    assert trainer_of(64 * 6, "broken").run() == expected


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
         "bits_per_byte": bits}
        for name, size, seen, bits in (
            ("bytes", 256, 10, 1.0), ("bytes", 256, 99, 3.0), ("BPE 1,000", 1000, 99, 2.5),
        )
    ]  # fmt: skip

    table = table_2.derived_texts(rows)["table.md"]

    assert "**2.500**" in table
    assert "| bytes | 32 | 10 | 20 | 1.00 | 5 | 3.000 | 37.5 |" in table
    assert "1.000 | 12.5" not in table
    assert len(table_2.draw(rows).axes) == 1
