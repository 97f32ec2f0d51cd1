"""What ships in the package is a finished run's model, with a card that is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmcompress.errors import LmcompressError
from lmcompress.models.checkpoint import load_network, save_float_checkpoint
from lmcompress.models.manifest import read_manifest
from lmcompress.models.store import EMBEDDED, Model, load_model
from lmcompress.training.config import TrainConfig
from tools.embed_model import CONFIGS, card_text, embed

SHIPPED = sorted(path.parent for path in EMBEDDED.glob("*/model.json"))


def checkpoint(model: Model, folder: Path, **card: object) -> Path:
    """Writes `tiny` as a run would have left it."""
    common = {"name": "tiny", "trained_on": ["a.txt"], "crlf_fraction": 0.0, "bytes_seen": 4096}
    common |= {"held_out_bytes_per_source": 128}
    save_float_checkpoint(load_network(model.folder), {**common, **card}, folder)
    return folder


def test_a_finished_run_is_embedded_under_its_name(tiny_model: Model, tmp_path: Path) -> None:
    run = checkpoint(
        tiny_model, tmp_path / "run", validation_bits_per_byte={"mean": 2.5, "a.txt": 2.5}
    )
    recipe = 'sequence_length = 1024\n[model]\ncontext_length = 1024\n[sources]\n"a.txt" = 1\n'
    (tmp_path / "tiny.toml").write_text(recipe)

    folder = embed(run, tmp_path / "models", tmp_path)

    assert folder.name == "tiny"
    assert load_model(folder).fingerprint.hex() == read_manifest(folder)["fingerprint"]
    text = (folder / "CARD.md").read_text("utf-8")
    assert "sequences of 1,024 bytes: **2.5000 bits per byte**" in text
    assert "attention over the last 16 bytes" in text
    assert "CRLF" not in text


def test_a_card_says_what_the_model_began_with(tiny_model: Model) -> None:
    assert tiny_model.weights is not None
    card = {
        "name": "tiny", "trained_on": ["a.txt", "b.txt"], "bytes_seen": 3000, "crlf_fraction": 0,
        "held_out_bytes_per_source": 9, "validation_bits_per_byte": {"mean": 2.5, "b.txt": 2.5},
        "began_with": {"name": "older", "fingerprint": "ab", "bytes_seen": 1000},
    }  # fmt: skip

    text = card_text(tiny_model.weights, card, 64)

    assert "- Began with older (`ab`), which had seen 1,000 of these bytes" in text
    assert "| a.txt | – |\n| b.txt | 2.5000 |" in text  # noqa: RUF001


def test_an_unfinished_run_is_refused(tiny_model: Model, tmp_path: Path) -> None:
    with pytest.raises(LmcompressError, match="its run has not ended"):
        embed(checkpoint(tiny_model, tmp_path / "run"), tmp_path / "models", tmp_path)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_cards_in_the_package_say_what_the_models_are(folder: Path) -> None:
    model = load_model(folder)
    recipe = TrainConfig.from_toml(CONFIGS / f"{model.name}.toml")

    assert model.weights is not None
    text = card_text(model.weights, model.card, recipe.sequence_length)
    assert (folder / "CARD.md").read_text("utf-8") == text
    assert sorted(recipe.sources) == model.card["trained_on"]
