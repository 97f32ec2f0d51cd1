"""Models of tokens are trained as those of bytes are, and measured in bits per byte."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import lmcompress
from lmcompress.errors import LmcompressError, TrainingError
from lmcompress.models.checkpoint import load_network
from lmcompress.tokenizer.vocabulary import byte_letters
from lmcompress.training.batches import Batches
from lmcompress.training.config import TrainConfig
from lmcompress.training.symbols import Symbols, Tokens, alphabet_of
from lmcompress.training.tokenizer import train_tokenizer
from lmcompress.training.trainer import Trainer
from tests.support.command_line import Run, assert_one_line_error
from tests.support.training_run import make_config

pytest.importorskip("tokenizers")

VOCAB_SIZE = 300


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """A run whose tokenizer was trained on its text."""
    monkeypatch.setattr("lmcompress.system.array_cache.cache_home", lambda: tmp_path / "cache")
    config = make_config(tmp_path, total_bytes=60 * 256)
    shape = dataclasses.replace(config.model, vocab_size=VOCAB_SIZE)
    path = tmp_path / "bpe.json"
    config = dataclasses.replace(config, model=shape, tokenizer=str(path))
    path.write_text(train_tokenizer(config, 20_000), "utf-8")
    return config


def alphabet(config: TrainConfig) -> Tokens:
    found = alphabet_of(config)
    assert isinstance(found, Tokens)
    return found


def test_a_run_on_tokens_learns_and_its_checkpoint_compresses(
    config: TrainConfig, tmp_path: Path
) -> None:
    figures = Trainer(config, tmp_path / "run").run()

    assert figures["validation_bits_per_byte"]["mean"] < 4
    raw = (tmp_path / "source.txt").read_bytes()[:3000]
    frame = lmcompress.compress(raw, tmp_path / "run", adaptive=False)
    assert len(frame) < 4 / 8 * len(raw)
    assert lmcompress.decompress(frame, model=tmp_path / "run") == raw
    card = json.loads((tmp_path / "run" / "model.json").read_text())["card"]
    assert card["bytes_seen"] == pytest.approx(60 * 256, rel=0.02)
    assert card["tokens_seen"] % 256 == 0
    assert card["tokens_seen"] < card["bytes_seen"] / 1.5
    assert card["tokenizer_sha256"] == alphabet(config).sha256


def test_validation_counts_the_bytes_that_tokens_stand_for(
    config: TrainConfig, tmp_path: Path
) -> None:
    found = Trainer(config, tmp_path / "run").validate()["validation_bits_per_byte"]["mean"]

    Trainer(config, tmp_path / "run").run()
    figures = json.loads((tmp_path / "run" / "model.json").read_text())["card"]
    last = figures["validation_bits_per_byte"]["mean"]
    held_out = (tmp_path / "source.txt").read_bytes()[-512:]
    tokens = alphabet(config).encode(held_out)
    tokens = tokens[: len(tokens) // 64 * 64].astype(np.int64)
    rows = torch.from_numpy(tokens).view(-1, 64)
    with torch.no_grad():
        logits = load_network(tmp_path / "run")(F.pad(rows[:, :-1], (1, 0)))
    nats = F.cross_entropy(logits.flatten(0, 1), rows.flatten(), reduction="sum").item()
    bits = nats / math.log(2) / len(alphabet(config).join(tokens))
    assert last == pytest.approx(bits, rel=0.01)
    assert last < found / 1.5


def test_tokens_that_are_drawn_spell_the_text_and_never_what_is_held_out(
    config: TrainConfig,
) -> None:
    batches = Batches(config, alphabet=alphabet(config))
    [name] = config.sources
    text = Path(name).read_bytes()[:-512]

    drawn = [
        batches.alphabet.join(row.numpy()) for step in range(20) for row in batches.step(step)[1]
    ]

    assert all(piece.replace(b"\r\n", b"\n").strip(b"\r") in text for piece in drawn)
    assert 0 < sum(b"\r\n" in piece for piece in drawn) < len(drawn)


def test_a_step_in_parts_has_the_gradient_of_the_whole(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(config, clip_norm=0.0, precision="float32")

    def gradients(logits: int) -> tuple[float, list[torch.Tensor]]:
        monkeypatch.setattr("lmcompress.training.trainer._LOGITS", logits)
        trainer = Trainer(config, tmp_path / str(logits))
        loss = trainer._learn(*trainer.batches.step(0))
        return loss, [p.grad for p in trainer.network.parameters() if p.grad is not None]

    whole, parts = gradients(1 << 24), gradients(3 * 64 * VOCAB_SIZE)  # three sequences, then one

    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    for expected, found in zip(whole[1], parts[1], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_run_resumes_only_with_its_own_tokenizer(config: TrainConfig, tmp_path: Path) -> None:
    Trainer(config, tmp_path / "run").run()
    path = Path(config.tokenizer)
    parts = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(parts, indent=1), "utf-8")

    with pytest.raises(TrainingError, match="another tokenizer"):
        Trainer(config, tmp_path / "run")


def test_a_run_begins_with_a_token_level_model_only_if_it_has_tokens(
    config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(config, tmp_path / "before").run()
    config = dataclasses.replace(config, init_from=str(tmp_path / "before"))

    assert Trainer(config, tmp_path / "after").before["name"] == config.name
    bytes_config = dataclasses.replace(make_config(tmp_path), init_from=config.init_from)
    with pytest.raises(TrainingError, match="expected a byte-level model"):
        Trainer(bytes_config, tmp_path / "bytes")


def other_vocabulary(config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """Returns a run that begins with `config`'s model and whose tokenizer saw other text."""
    path = tmp_path / "other.json"
    other = dataclasses.replace(config, crlf_fraction=1.0, tokenizer=str(path))
    path.write_text(train_tokenizer(other, 20_000), "utf-8")
    assert alphabet(config).table.digest() != alphabet(other).table.digest()
    return dataclasses.replace(other, init_from=str(tmp_path / "before"))


def test_tokens_of_another_vocabulary_begin_with_the_mean_of_those_that_spell_them(
    config: TrainConfig, tmp_path: Path
) -> None:
    Trainer(config, tmp_path / "before").run()
    later = other_vocabulary(config, tmp_path)

    network = Trainer(later, tmp_path / "after").network

    before, ours = load_network(tmp_path / "before"), alphabet(later)
    num_spelled_by_several = 0
    for i, token in enumerate(ours.table.tokens):
        spelled = torch.from_numpy(alphabet(config).encode(token).astype(np.int64))
        num_spelled_by_several += len(spelled) > 1
        for layer in ("token_embedding", "output"):
            old, new = (getattr(n, layer).weight for n in (before, network))
            assert torch.equal(new[i], old[spelled].mean(0))
    assert 0 < num_spelled_by_several < 100


def test_an_ngram_table_of_another_vocabulary_is_refused(
    config: TrainConfig, tmp_path: Path
) -> None:
    shape = dataclasses.replace(config.model, ngram_orders=(2,), ngram_bits=6)
    config = dataclasses.replace(config, model=shape)
    Trainer(config, tmp_path / "before").run()

    with pytest.raises(TrainingError, match="set ngram_orders to"):
        Trainer(other_vocabulary(config, tmp_path), tmp_path / "after")


def test_a_tokenizer_without_some_byte_is_refused(config: TrainConfig) -> None:
    letter = next(letter for letter, byte in byte_letters().items() if byte == 4)
    path = Path(config.tokenizer)
    parts = json.loads(path.read_text("utf-8"))
    parts["model"]["vocab"]["aaaaaaa"] = parts["model"]["vocab"].pop(letter)
    path.write_text(json.dumps(parts), "utf-8")

    with pytest.raises(TrainingError, match="no token for the byte 0x04"):
        alphabet_of(config)


def test_another_number_of_tokens_is_refused(config: TrainConfig) -> None:
    config = dataclasses.replace(
        config, model=dataclasses.replace(config.model, vocab_size=VOCAB_SIZE + 1)
    )

    with pytest.raises(TrainingError, match="has 300 tokens, vocab_size is 301"):
        alphabet_of(config)


def test_too_little_text_for_so_many_tokens_is_told(config: TrainConfig) -> None:
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=5000))

    with pytest.raises(LmcompressError, match="expected 5,000"):
        train_tokenizer(config, 20_000)


def test_the_command_writes_the_tokenizer_that_the_configuration_names(
    run: Run, config: TrainConfig, tmp_path: Path
) -> None:
    path, toml = Path(config.tokenizer), tmp_path / "tiny-run.toml"
    text = toml.read_text("utf-8").replace("[model]", "[model]\nvocab_size = 300")

    assert_one_line_error(run("train-tokenizer", "--config", toml), "tokenizer =")
    toml.write_text(f"tokenizer = {json.dumps(str(path))}\n{text}", "utf-8")
    assert_one_line_error(run("train-tokenizer", "--config", toml), "exists")
    assert run("train-tokenizer", "-f", "--config", toml).code == 0
    assert alphabet_of(TrainConfig.from_toml(toml)).encode(b"line 1 of").size < 9


def test_the_tokens_of_a_source_are_kept_for_the_next_run(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Batches(config, alphabet=alphabet(config))
    known, held_out = alphabet(config), Path(*config.sources).read_bytes()[-512:]
    encode = known.encode

    def only_what_is_held_out(raw: bytes) -> Symbols:
        assert raw == held_out
        return encode(raw)

    monkeypatch.setattr(known, "encode", only_what_is_held_out)
    second = Batches(config, alphabet=known)

    assert all(map(np.array_equal, first.texts.values(), second.texts.values()))
