"""A causal model of `transformers` in float32, with its cache and a byte-level tokenizer."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lmcompress.prove.adapters.softmax import softmax
from lmcompress.tokenizer.bpe import TextTokenizer
from lmcompress.tokenizer.vocabulary import TokenTable

MAX_WINDOW = 2048


class Predictor:
    """The model in the current folder; its context is halved whenever it is full."""

    def __init__(self) -> None:
        library: Any = importlib.import_module("transformers")
        self._config = library.AutoConfig.from_pretrained(".")
        self._tokenizer_json = Path("tokenizer.json").read_text("utf-8")
        table = TokenTable.from_tokenizer_json(self._tokenizer_json, self._config.vocab_size)
        self._table, self.symbols = table, list(table.spellings)
        longest = getattr(self._config, "max_position_embeddings", None) or MAX_WINDOW
        self._window = min(MAX_WINDOW, longest)

    def tokenize(self, raw: bytes) -> list[int]:
        """Returns the tokens of the model's tokenizer."""
        symbols: list[int] = TextTokenizer(self._tokenizer_json, self._table).encode(raw).tolist()
        return symbols

    def reset(self) -> None:
        """Loads the model and begins a text."""
        library: Any = importlib.import_module("transformers")
        made = library.AutoModelForCausalLM.from_pretrained(".", dtype="float32")
        self._network = made.eval()
        first = self._config.bos_token_id
        self._first = int(self._config.eos_token_id or 0) if first is None else int(first)
        self._ids = [self._first]
        self._restart()

    def probabilities(self) -> npt.NDArray[np.float64]:
        """Returns the row of the next token."""
        return self._row

    def push(self, symbol: int) -> None:
        """Takes a token."""
        read = self._table.read_as(np.array([symbol]), self._first)
        self._ids.append(int(read[0]))
        if len(self._ids) > self._window:
            self._ids = self._ids[-(self._window // 2) :]
            self._restart()
        else:
            self._read(self._ids[-1:])

    def _restart(self) -> None:
        self._cache: Any = None
        self._read(self._ids)

    def _read(self, ids: list[int]) -> None:
        with torch.inference_mode():
            found = self._network(torch.tensor([ids]), past_key_values=self._cache, use_cache=True)
        self._cache = found.past_key_values
        logits = found.logits[0, -1].double().numpy()[: len(self._table.tokens)].copy()
        logits[~self._table.is_spelled] = -np.inf
        # Bytes that are no token are left to the floor.
        self._row = np.append(softmax(logits), np.zeros(256))
