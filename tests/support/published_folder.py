"""A folder as others publish it: a checkpoint of `transformers` with its tokenizer."""

from __future__ import annotations

from pathlib import Path

from tests.support.published_checkpoints import checkpoint
from tests.support.token_model import tokenizer_json


def folder_of(tmp_path: Path, kind: str = "llama") -> Path:
    """Returns a checkpoint as `transformers` writes it, with a tokenizer that fits."""
    folder = tmp_path / "published"
    checkpoint(kind, folder)
    (folder / "tokenizer.json").write_text(tokenizer_json(), "utf-8")
    return folder
