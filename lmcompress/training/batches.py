"""The data of a training run: random sequences for each step, and the held-out text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcompress import corpora
from lmcompress.errors import TrainingError
from lmcompress.training.config import TrainConfig


class Batches:
    """Random sequences from the sources; a batch depends on seed, step and rank alone."""

    def __init__(self, config: TrainConfig, rank: int = 0, world_size: int = 1) -> None:
        self.config, self.rank = config, rank
        self.batch_size = config.batch_size // world_size
        if self.batch_size * world_size != config.batch_size:
            raise TrainingError(
                f"batch_size {config.batch_size} is not a multiple of {world_size} processes"
            )
        self.texts: dict[str, np.ndarray] = {}
        self.holdouts: dict[str, np.ndarray] = {}
        for name in config.sources:
            text = np.frombuffer(_read_source(name), dtype=np.uint8)
            split = len(text) - config.holdout_bytes
            if split <= config.sequence_length:
                raise TrainingError(
                    f"{name} has {len(text)} bytes: too few to hold out {config.holdout_bytes}"
                )
            self.texts[name], self.holdouts[name] = text[:split], text[split:]
        weights = np.array(list(config.sources.values()), dtype=np.float64)
        self.probs = weights / weights.sum()

    def _sequence(self, rng: np.random.Generator, length: int) -> np.ndarray:
        text = self.texts[list(self.texts)[rng.choice(len(self.probs), p=self.probs)]]
        start = rng.integers(len(text) - length)
        symbols = text[start : start + length]
        if rng.random() < self.config.crlf_fraction:
            with_crlf = symbols.tobytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            symbols = np.frombuffer(with_crlf[:length], dtype=np.uint8)
            if len(symbols) < length:  # the text had CRLF already
                symbols = text[start : start + length]
        return symbols

    def step(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns the inputs and targets of one step, int64 (batch_size, sequence_length) each.

        While sequences are short, a step has more of them, and as many bytes as later.
        """
        rng = np.random.default_rng((self.config.seed, step, self.rank))
        length = self.config.sequence_length_at(step)
        count = self.batch_size * self.config.sequence_length // length
        rows = np.stack([self._sequence(rng, length) for _ in range(count)])
        return _shift(torch.from_numpy(rows.astype(np.int64)), self.config.model.bos_id)

    def validation(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the held-out text of one source in batches of whole sequences."""
        length = self.config.sequence_length
        text = self.holdouts[name]
        rows = text[: len(text) // length * length].reshape(-1, length).astype(np.int64)
        for part in torch.from_numpy(rows).split(self.batch_size):
            yield _shift(part, self.config.model.bos_id)


def _read_source(name: str) -> bytes:
    """Returns the bytes of a file or of a named corpus."""
    path = Path(name)
    return path.read_bytes() if path.is_file() else corpora.load(name)


def _shift(symbols: Tensor, bos_id: int) -> tuple[Tensor, Tensor]:
    """Returns (inputs, targets): each symbol is predicted from those before it."""
    inputs = F.pad(symbols[:, :-1], (1, 0), value=bos_id)
    return inputs, symbols
