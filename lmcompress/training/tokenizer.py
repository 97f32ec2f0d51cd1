"""The tokenizer of a run, trained on pieces of the run's text."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from lmcompress.errors import TrainingError
from lmcompress.tokenizer.training import train_bpe
from lmcompress.training.batches import crlf, divided
from lmcompress.training.config import TrainConfig

SAMPLE_BYTES = 24_000_000
"""Text that a tokenizer learns from, if there is that much: more is slower and changes little."""
_PIECE_BYTES = 20_000


def train_tokenizer(config: TrainConfig, sample_bytes: int = SAMPLE_BYTES) -> str:
    """Trains a byte-level BPE with `vocab_size` tokens; returns its `tokenizer.json`.

    The pieces it learns from come from the sources by their weights, and have CRLF line ends as
    often as the run's sequences do. Nothing that is held out is read.

    Raises:
      TrainingError: If the run's model has bytes as symbols, or a source is too short.
      LmcompressError: If the text is too small for so many tokens.
      MissingDependencyError: Without the `tokenizers` package.
    """
    if config.model.vocab_size <= 256:
        raise TrainingError(
            f"vocab_size is {config.model.vocab_size}, expected more than 256: each byte is a token"
        )
    return train_bpe(_pieces(config, sample_bytes), config.model.vocab_size)


def _pieces(config: TrainConfig, sample_bytes: int) -> Iterator[str]:
    texts = {name: divided(name, config)[0] for name in config.sources}
    sample_bytes = min(sample_bytes, sum(map(len, texts.values())))
    rng, whole = np.random.default_rng(config.seed), sum(config.sources.values())
    for name, weight in config.sources.items():
        raw = texts[name]
        size = min(_PIECE_BYTES, len(raw))
        for _ in range(math.ceil(sample_bytes * weight / whole / size)):
            start = rng.integers(len(raw) - size + 1)
            piece = raw[start : start + size]
            if rng.random() < config.crlf_fraction:
                piece = crlf(piece)
            yield piece.decode(errors="ignore")
