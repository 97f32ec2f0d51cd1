"""A model of ours in its exact arithmetic: the GPT alone, one lane, without the adaptive stage."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lmcompress.codec.predictor import ContextPolicy, GPTPredictor, new_predictor
from lmcompress.errors import MissingDependencyError
from lmcompress.models.checkpoint import load_exact_checkpoint
from lmcompress.prove.adapters.softmax import softmax
from lmcompress.range_coder import PRECISION_BITS
from lmcompress.tokenizer.bpe import tokenizer_of


class Predictor:
    """The model in a folder, by default the current one, of bytes or of tokens."""

    def __init__(self, folder: Path = Path()) -> None:
        self._folder = folder
        self._weights = load_exact_checkpoint(folder)
        self._table = self._weights.tokens
        self.symbols = 256 if self._table is None else list(self._table.spellings)

    def tokenize(self, raw: bytes) -> list[int]:
        """Returns the bytes, or the tokens of the model's tokenizer."""
        if self._table is None:
            return list(raw)
        symbols: list[int] = tokenizer_of(self._folder, self._table).encode(raw).tolist()
        return symbols

    def reset(self) -> None:
        """Begins a text."""
        policy = ContextPolicy.of(self._weights)
        made = new_predictor(self._weights, 1, max(1, policy.overlap), policy)
        assert isinstance(made, GPTPredictor)
        self._predictor = made
        self._row = self._read(self._weights.config.bos_id)

    def probabilities(self) -> npt.NDArray[np.float64]:
        """Returns the row of the next symbol."""
        return self._row

    def push(self, symbol: int) -> None:
        """Takes a symbol."""
        if self._table is None:
            self._row = self._read(symbol)
        else:
            read = self._table.read_as(np.array([symbol]), self._weights.config.bos_id)
            self._row = self._read(int(read[0]))

    def _read(self, token: int) -> npt.NDArray[np.float64]:
        tokens = np.array([[token]])
        if self._table is None:
            freqs = self._predictor.predict(tokens)[0, 0].astype(np.float64)
            row: npt.NDArray[np.float64] = (1.0 + freqs) / (1 << PRECISION_BITS)
            return row  # exact, with a sum of 1
        # Only tokens that a text spells have a share; bytes that are none are left to the floor.
        logits = self._predictor.logits(tokens)[0, 0].astype(np.float64)
        logits[~self._table.is_spelled] = -np.inf
        return np.append(softmax(logits), np.zeros(256))


def compile_kernels(folder: Path) -> None:
    """Has the kernels of a model compiled and cached, which a guarded process could not keep."""
    predictor = Predictor(folder)
    with contextlib.suppress(MissingDependencyError):  # checking a certificate takes no tokenizer
        predictor.tokenize(b"a")
    predictor.reset()
