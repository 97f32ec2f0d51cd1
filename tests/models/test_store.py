"""Which model a file is decompressed with."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import lmcompress
from lmcompress.errors import FingerprintMismatchError, ModelNotFoundError
from lmcompress.models.checkpoint import save_exact_checkpoint
from lmcompress.models.store import DEFAULT_MODEL, Model
from tests.support.command_line import TEXT
from tests.support.exactness import random_weights


def test_another_model_of_the_same_name_is_refused(tiny_model: Model, tmp_path: Path) -> None:
    save_exact_checkpoint(random_weights("paper"), {"name": "other"}, tmp_path / "other")
    frame = lmcompress.compress(TEXT, tiny_model)

    with pytest.raises(FingerprintMismatchError, match="pass the model that made it"):
        lmcompress.decompress(frame, model=str(tmp_path / "other"))
    with pytest.raises(ModelNotFoundError, match="known are"):
        lmcompress.decompress(frame, model="no-such-model")


def test_a_loaded_model_is_taken_where_its_name_finds_none(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = dataclasses.replace(tiny_model, name="elsewhere"), tmp_path / "text.lmc"
    path.write_bytes(lmcompress.compress(TEXT, model))

    assert lmcompress.decompress(path.read_bytes(), model=model) == TEXT
    with lmcompress.open(path, "rb", model) as file:
        assert file.read() == TEXT
    assert lmcompress.decompress(path.read_bytes()) == TEXT  # by its fingerprint
    monkeypatch.delenv("LMCOMPRESS_MODELS")
    with pytest.raises(ModelNotFoundError, match="elsewhere"):
        lmcompress.decompress(path.read_bytes())


def test_a_name_in_a_header_is_not_taken_for_a_path(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = dataclasses.replace(tiny_model, name=str(tiny_model.folder))
    frame = lmcompress.compress(TEXT, forged)
    monkeypatch.delenv("LMCOMPRESS_MODELS")

    with pytest.raises(ModelNotFoundError):
        lmcompress.decompress(frame)


def test_a_model_whose_name_another_has_is_found_by_its_fingerprint(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model.folder, tmp_path / DEFAULT_MODEL)
    frame = lmcompress.compress(TEXT, dataclasses.replace(tiny_model, name=DEFAULT_MODEL))
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tmp_path))

    assert lmcompress.decompress(frame) == TEXT
