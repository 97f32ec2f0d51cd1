"""GPTs over tokens of any vocabulary: a BPE trained on text, a model trained on its tokens.

Everything is counted in bytes of the raw text, so vocabularies can be compared.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from lmcompress.errors import LmcompressError
from lmcompress.gpt.network import GPT
from lmcompress.system.extras import needs_extra
from lmcompress.tokenizer.training import train_bpe
from lmcompress.training.batches import Batches
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer

TokenIds = npt.NDArray[np.int64]
BYTES = 256
"""The size of the vocabulary that needs no tokenizer."""
_SCORE_ROWS = 16


class Tokenizer:
    """Bytes as they are, or byte-level BPE (Radford et al., 2019)."""

    def __init__(self, vocab_size: int, text: bytes) -> None:
        """Trains on UTF-8 text; raises MissingDependencyError if `tokenizers` is not installed."""
        self.vocab_size, self.name, self.sha256 = vocab_size, "bytes", ""
        self._bpe: Any = None
        if vocab_size != BYTES:
            with needs_extra("paper", "training a BPE", "tokenizers"):
                from tokenizers import Tokenizer as Bpe
            lines = text.decode().splitlines(keepends=True)
            self._bpe = Bpe.from_str(train_bpe(lines, vocab_size, splits=None))
            self.name = f"BPE {vocab_size:,}"
            self.sha256 = hashlib.sha256(self._bpe.to_str().encode()).hexdigest()

    def encode(self, text: bytes) -> TokenIds:
        """Returns the token ids of UTF-8 text; raises LmcompressError if it would not come back."""
        if self._bpe is None:
            return np.frombuffer(text, np.uint8).astype(np.int64)
        ids = self._bpe.encode(text.decode()).ids
        if self._bpe.decode(ids).encode() != text:
            raise LmcompressError(f"{self.name} does not give the text back: report a bug")
        return np.array(ids, np.int64)


def whole_characters(raw: bytes) -> bytes:
    """Returns UTF-8 text without the parts of characters that a cut left at its ends."""
    return raw.decode(errors="ignore").encode()


@torch.no_grad()
def code_length_bits(network: Callable[..., Any], tokens: TokenIds, length: int, bos: int) -> float:
    """Returns the float32 code length of tokens, read in pieces of `length` that stand alone."""
    rest = len(tokens) % length
    rows = torch.from_numpy(tokens[: len(tokens) - rest].reshape(-1, length))
    pieces = [*rows.split(_SCORE_ROWS), *([torch.from_numpy(tokens[-rest:])[None]] if rest else [])]
    nats = 0.0
    for targets in pieces:
        if targets.numel():
            logits = network(F.pad(targets[:, :-1], (1, 0), value=bos))
            nats += F.cross_entropy(
                logits.double().flatten(0, 1), targets.flatten(), reduction="sum"
            ).item()
    return nats / math.log(2)


class TokenBatches(Batches):
    """Random sequences of tokens of one text."""

    def __init__(self, config: TrainConfig, tokens: TokenIds) -> None:
        self.config, self.rank, self.batch_size = config, 0, config.batch_size
        self.texts, self.holdouts, self.probs = {"tokens": tokens}, {}, np.ones(1)
        self.bytes_per_symbol, self.num_steps = 1.0, config.num_steps()


class TokenTrainer(Trainer):
    """Trains on tokens."""

    def __init__(
        self, config: TrainConfig, out: Path, tokens: TokenIds, held_out: TokenIds, raw_bytes: int
    ) -> None:
        """Takes the tokens to train on, and held-out tokens that spell `raw_bytes` bytes."""
        self._held_out, self._held_out_bytes = held_out, raw_bytes
        super().__init__(config, out)
        self.batches = TokenBatches(config, tokens)

    def validate(self) -> dict[str, Any]:
        """Returns the bits per byte of the held-out text's bytes."""
        score = functools.partial(score_bits_per_byte, self.network, self._held_out)
        return {"validation_bits_per_byte": {"mean": round(score(self._held_out_bytes), 4)}}


def score_bits_per_byte(network: GPT, tokens: TokenIds, raw_bytes: int) -> float:
    """Returns the code length of tokens over the raw bytes that they spell."""
    config = network.config
    return code_length_bits(network, tokens, config.context_length, config.bos_id) / raw_bytes
