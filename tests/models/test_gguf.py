"""A GGUF file gives the network and the tokenizer that it was written from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lmcompress.errors import ModelNotFoundError, UnsupportedModelError
from lmcompress.models.pretrained import open_pretrained
from tests.support.published_checkpoints import checkpoint, tokens

pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

from tests.support.gguf_files import tokenizers, write_gguf


@pytest.fixture
def llama(tmp_path: Path) -> tuple[torch.nn.Module, Path]:
    """A random Llama and the GGUF file of it."""
    network = checkpoint("llama", tmp_path / "folder")
    write_gguf(network, tmp_path / "model.gguf")
    return network, tmp_path / "model.gguf"


def test_logits_are_those_of_the_network_that_was_written(llama) -> None:  # type: ignore[no-untyped-def]
    network, path = llama

    with torch.no_grad():
        expected = network(tokens()).logits
        found = open_pretrained(path).network()(tokens())

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_tokenizer_merges_and_splits_digits(llama) -> None:  # type: ignore[no-untyped-def]
    tokenizer = tokenizers.Tokenizer.from_str(open_pretrained(llama[1]).tokenizer_json)

    ids = tokenizer.encode("the 12", add_special_tokens=False).ids

    assert [tokenizer.id_to_token(i) for i in ids] == ["the", "Ġ", "1", "2"]


@pytest.mark.parametrize("kept", [10, 3000, -100])
def test_a_truncated_file_is_one_clear_line(llama, kept: int) -> None:  # type: ignore[no-untyped-def]
    path = llama[1]
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(ModelNotFoundError, match="damaged, cut short, or not a GGUF file"):
        open_pretrained(path)


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    write_gguf(checkpoint("llama", tmp_path), tmp_path / "model.gguf", "mamba")

    with pytest.raises(UnsupportedModelError, match="architecture mamba, expected one of llama"):
        open_pretrained(tmp_path / "model.gguf")
