"""What `info` tells of a file."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import lmcompress
from lmcompress.models.store import Model
from tests.support.command_line import TEXT


def test_info_of_a_path_and_of_a_file_object_agree(tiny_model: Model, tmp_path: Path) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, lanes=2)
    (tmp_path / "text.lmc").write_bytes(frame)

    told = lmcompress.info(tmp_path / "text.lmc")

    assert told == lmcompress.info(io.BytesIO(frame))
    assert (told.raw_bytes, told.compressed_bytes) == (len(TEXT), len(frame))
    [described] = told.frames
    assert (described.model, described.model_is_installed) == ("tiny", True)
    assert described.model_bytes == tiny_model.model_bytes


def test_info_of_an_object_that_can_only_read(tiny_model: Model) -> None:
    frame = io.BytesIO(lmcompress.compress(TEXT, tiny_model))

    class ReadOnly:
        read = frame.read

    assert lmcompress.info(ReadOnly()).raw_bytes == len(TEXT)  # type: ignore[arg-type]


def test_info_counts_no_model_whose_weights_are_missing(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = lmcompress.compress(TEXT, tiny_model)
    (tmp_path / "tiny").mkdir()
    manifest = (tiny_model.folder / "model.json").read_bytes()
    (tmp_path / "tiny" / "model.json").write_bytes(manifest)
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tmp_path))

    told = lmcompress.info(io.BytesIO(frame))

    assert (told.frames[0].model_bytes, told.adjusted_compression_rate) == (None, None)
