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
from lmcompress.training.symbols import Alphabet, Bytes, Symbols


class Batches:
    """Random sequences from the sources; a batch depends on seed, step and rank alone."""

    def __init__(
        self,
        config: TrainConfig,
        rank: int = 0,
        world_size: int = 1,
        alphabet: Alphabet | None = None,
    ) -> None:
        """Reads all sources, and cuts them into symbols of the alphabet; bytes if it is None."""
        self.config, self.rank, self.alphabet = config, rank, alphabet or Bytes()
        self.batch_size = config.batch_size // world_size
        if self.batch_size * world_size != config.batch_size:
            raise TrainingError(
                f"batch_size {config.batch_size} is not a multiple of {world_size} processes"
            )
        self.texts: dict[str, Symbols] = {}
        self.holdouts: dict[str, Symbols] = {}
        weights = np.array(list(config.sources.values()), dtype=np.float64)
        self.probs = weights / weights.sum()
        sizes = []
        for name in config.sources:
            raw, held_out = divided(name, config)
            self.texts[name] = self.alphabet.encode_source(raw)
            self.holdouts[name] = self.alphabet.encode(held_out)
            sizes.append(len(raw) / len(self.texts[name]))
            fewest = min(len(self.texts[name]) - 1, len(self.holdouts[name]))
            if fewest < config.sequence_length:
                raise TrainingError(
                    f"{name} has {len(self.texts[name])} symbols and {len(self.holdouts[name])} "
                    f"held out, too few for a sequence_length of {config.sequence_length}"
                )
        self.bytes_per_symbol = float(self.probs @ sizes)
        """Of what is drawn, on average."""
        self.num_steps = config.num_steps(self.bytes_per_symbol)

    def _sequence(self, rng: np.random.Generator, length: int) -> Symbols:
        text = self.texts[list(self.texts)[rng.choice(len(self.probs), p=self.probs)]]
        start = rng.integers(len(text) - length)
        symbols = text[start : start + length]
        if rng.random() < self.config.crlf_fraction:
            with_crlf = self.alphabet.encode(crlf(self.alphabet.join(symbols)))
            # A tokenizer may need fewer tokens for CRLF than for LF: such a sequence stays.
            if len(with_crlf) >= length:
                return with_crlf[:length]
        return symbols

    def step(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns the inputs and targets of one step, int64 (batch_size, sequence_length) each.

        Every step has the same number of symbols: the shorter the sequences, the more of them.
        """
        rng = np.random.default_rng((self.config.seed, step, self.rank))
        length = self.config.sequence_length_at(step, self.num_steps)
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


def divided(name: str, config: TrainConfig) -> tuple[bytes, bytes]:
    """Returns the bytes of a source to train on, and those at its end that are held out.

    Raises:
      TrainingError: If it is too short.
    """
    raw = _read_source(name)
    split = len(raw) - config.holdout_bytes
    if split <= 0:
        raise TrainingError(
            f"{name} has {len(raw)} bytes: too few to hold out {config.holdout_bytes}"
        )
    return raw[:split], raw[split:]


def crlf(raw: bytes) -> bytes:
    """Returns a text with CRLF at the end of each line."""
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _read_source(name: str) -> bytes:
    """Returns the bytes of a file or of a named corpus."""
    path = Path(name)
    return path.read_bytes() if path.is_file() else corpora.load(name)


def _shift(symbols: Tensor, bos_id: int) -> tuple[Tensor, Tensor]:
    """Returns (inputs, targets): each symbol is predicted from those before it."""
    inputs = F.pad(symbols[:, :-1], (1, 0), value=bos_id)
    return inputs, symbols
