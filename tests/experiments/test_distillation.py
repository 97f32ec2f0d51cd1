"""A teacher says of bytes what its tokens add up to; a student's figures are its text's."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.support import distillation
from experiments.support.distillation import DistilledTrainer, Teacher
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.reference import ExactGPT
from lmcompress.models.manifest import read_manifest
from lmcompress.models.store import Model
from lmcompress.tokenizer.bpe import tokenizer_of
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer
from tests.support.token_model import MISSING, NAME, TEXT

SHORT = TEXT[:24]


def as_texts(*texts: bytes) -> np.ndarray:
    return np.stack([np.frombuffer(text, np.uint8) for text in texts])


def by_tokens(model: Model, raw: bytes) -> np.ndarray:
    """Returns the next byte's probabilities (n, 256), token by token and from the definition."""
    assert model.weights is not None
    assert model.tokens is not None
    symbols = tokenizer_of(model.folder, model.tokens).encode(raw)
    inputs = [model.weights.config.bos_id, *symbols.tolist()[:-1]]
    logits = ExactGPT(model.weights).logits(torch.tensor([inputs]))[0].double()
    logits[:, ~torch.from_numpy(model.tokens.is_spelled)] = -math.inf
    rows = []
    for symbol, probabilities in zip(symbols, torch.softmax(logits, -1).tolist(), strict=True):
        spelled = model.tokens.tokens[symbol]
        for length in range(len(spelled)):
            row = np.zeros(256)
            for token, probability in zip(model.tokens.tokens, probabilities, strict=True):
                if token[:length] == spelled[:length] and len(token) > length:
                    row[token[length]] += probability
            rows.append(row / row.sum())
    return np.array(rows)


def test_probabilities_are_sums_over_tokens(token_model: Model) -> None:
    texts = (SHORT, TEXT[30:54])
    found = Teacher(token_model).probabilities(as_texts(*texts))

    for row, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(row, by_tokens(token_model, text), atol=1e-4)
    assert np.unique(found.round(3)).size > 10  # not all of them certain


def test_a_second_text_is_read_as_if_it_were_the_first(token_model: Model) -> None:
    teacher = Teacher(token_model)
    first = teacher.probabilities(as_texts(SHORT))
    teacher.probabilities(as_texts(TEXT[30:54]))

    assert np.array_equal(teacher.probabilities(as_texts(SHORT)), first)


def test_bytes_that_no_token_spells_are_certain(token_model: Model) -> None:
    text = b"It " + MISSING[:2] + b"was"
    found = Teacher(token_model).probabilities(as_texts(text))[0]

    assert found.sum(-1) == pytest.approx(1, abs=1e-6)
    for place in (3, 4):
        assert found[place, text[place]] == 1
    assert found[0].max() < 1


def test_texts_longer_than_the_context_are_refused(token_model: Model) -> None:
    with pytest.raises(ValueError, match="texts of 25 bytes, a teacher of 24 tokens"):
        Teacher(token_model).probabilities(as_texts(TEXT[:25]))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token_model: Model) -> TrainConfig:
    """A few steps on the text that the tiny teacher knows."""
    monkeypatch.setattr(distillation, "TEACHER", NAME)
    (tmp_path / "text").write_bytes(TEXT * 40)
    model = GPTConfig(n_layer=1, n_embd=64, n_head=1, context_length=16)
    return TrainConfig(
        name="taught", sources={str(tmp_path / "text"): 1.0}, model=model, total_bytes=8 * 64,
        batch_size=4, sequence_length=16, holdout_bytes=256, optimizer="adamw", warmup_steps=1,
    )  # fmt: skip


def test_a_student_reports_its_text(config: TrainConfig, tmp_path: Path) -> None:
    plain = Trainer(config, tmp_path / "plain", "cpu")
    student = DistilledTrainer(config, tmp_path / "student", "cpu")

    assert student._train_step(0) == plain._train_step(0)


def test_a_card_names_the_teacher(config: TrainConfig, tmp_path: Path, token_model: Model) -> None:
    DistilledTrainer(config, tmp_path / "student", "cpu").run()
    Trainer(config, tmp_path / "plain", "cpu").run()

    card = read_manifest(tmp_path / "student")["card"]
    assert card["teacher"] == NAME
    assert card["teacher_fingerprint"] == token_model.fingerprint.hex()
    assert "teacher" not in read_manifest(tmp_path / "plain")["card"]


def test_a_student_learns_from_its_teacher(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "SHARE", 1.0)
    config = dataclasses.replace(config, learning_rate=1e-2, total_bytes=60 * 64)
    student = DistilledTrainer(config, tmp_path / "student", "cpu")
    inputs, targets = student.batches.step(0)
    before = student._training_loss(inputs, targets).item()

    student.run()

    assert student._training_loss(inputs, targets).item() < before / 2
