"""A checkpoint's claims are held against the size of its files before memory is taken."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lmcompress.errors import LmcompressError, ModelNotFoundError, UnsupportedModelError
from lmcompress.models.pretrained import open_pretrained
from tests.support.published_checkpoints import checkpoint

pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

from tests.support.gguf_files import write_gguf

_INT8, _UINT32, _STRING, _ARRAY = 1, 4, 8, 9


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def gguf_of(path: Path, name: str, kind: int, value: bytes) -> Path:
    """Writes a GGUF file with one field and no tensor."""
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    path.write_bytes(head + string(name) + struct.pack("<I", kind) + value)
    return path


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (_ARRAY, struct.pack("<IQ", _INT8, 1 << 62)),
        (_ARRAY, struct.pack("<IQ", _STRING, 1 << 40)),
        (_ARRAY, struct.pack("<IQIQ", _ARRAY, 1 << 40, _UINT32, 1 << 40)),
        (_STRING, struct.pack("<Q", 1 << 62)),
        (_STRING, struct.pack("<Q", (1 << 64) - 1)),
    ],
    ids=["bytes", "strings", "arrays", "string", "longest-string"],
)
def test_what_is_longer_than_its_file_is_refused_at_once(
    tmp_path: Path, kind: int, value: bytes
) -> None:
    path = gguf_of(tmp_path / "long.gguf", "general.name", kind, value)

    with pytest.raises(ModelNotFoundError, match=r"long\.gguf is damaged, cut short"):
        open_pretrained(path)


def test_more_fields_than_the_file_has_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "fields.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 1 << 62, 1 << 62))

    with pytest.raises(ModelNotFoundError, match=r"fields\.gguf is damaged, cut short"):
        open_pretrained(path)


def test_a_gguf_file_too_small_for_its_layers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(checkpoint("llama", tmp_path / "folder"), path)
    data = path.read_bytes()
    field = string("llama.feed_forward_length") + struct.pack("<I", _UINT32)
    assert field + struct.pack("<I", 48) in data
    path.write_bytes(
        data.replace(field + struct.pack("<I", 48), field + struct.pack("<I", 1 << 31))
    )

    with pytest.raises(ModelNotFoundError, match="bytes, too few for the"):
        open_pretrained(path)


def test_a_gguf_file_whose_heads_do_not_fit_its_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(checkpoint("llama", tmp_path / "folder"), path)
    data = path.read_bytes()
    path.write_bytes(
        data.replace(b"llama.attention.head_count_kv", b"llama.attention.head_count_no")
    )

    with pytest.raises(UnsupportedModelError, match=r"int8 \(64, 32\), expected int8 \(96, 32\)"):
        open_pretrained(path).weights()


@pytest.mark.parametrize(
    "values",
    [{"vocab_size": 10**10}, {"intermediate_size": 10**10}, {"num_hidden_layers": 10**10}],
    ids=lambda values: next(iter(values)),
)
def test_a_folder_too_small_for_its_configuration_is_refused(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    checkpoint("llama", tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | values))

    with pytest.raises(LmcompressError, match=r"too few for the|n_layer is 10000000000"):
        open_pretrained(tmp_path)
