"""What a run's model reads: the bytes of its text, or the tokens that a tokenizer cuts it into."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lmcompress.errors import TrainingError
from lmcompress.system.array_cache import ArrayCache
from lmcompress.tokenizer.bpe import TextTokenizer
from lmcompress.tokenizer.vocabulary import TokenTable
from lmcompress.training.config import TrainConfig

Symbols = npt.NDArray[np.integer[Any]]
_CACHE_BYTES = 1 << 30


class Alphabet(Protocol):
    """How a run's text is written in symbols."""

    sha256: str
    """Of the tokenizer; empty if it needs none."""

    def encode(self, raw: bytes) -> Symbols:
        """Returns the symbols of a text, (n,), of as few bytes each as they need."""

    def encode_source(self, raw: bytes) -> Symbols:
        """Returns the same, for a long text that the next run will need again."""

    def join(self, symbols: Symbols) -> bytes:
        """Returns the text of symbols."""

    def num_bytes(self, symbols: Symbols) -> int:
        """Returns how many bytes of text symbols stand for."""


class Bytes:
    """Every byte is a symbol."""

    sha256 = ""

    def encode(self, raw: bytes) -> Symbols:
        """Returns the bytes, uint8 (n,)."""
        return np.frombuffer(raw, np.uint8)

    encode_source = encode

    def join(self, symbols: Symbols) -> bytes:
        """Returns the text of bytes."""
        return symbols.astype(np.uint8).tobytes()

    def num_bytes(self, symbols: Symbols) -> int:
        """Returns how many bytes there are."""
        return symbols.size


class Tokens:
    """The tokens of a byte-level BPE that has a token for every byte."""

    def __init__(self, tokenizer_json: str, vocab_size: int) -> None:
        """Raises TrainingError if a byte has no token, or if the number of tokens differs."""
        self.tokenizer_json = tokenizer_json
        self.table = TokenTable.from_tokenizer_json(tokenizer_json, vocab_size)
        self.sha256 = hashlib.sha256(tokenizer_json.encode()).hexdigest()
        self._tokenizer = TextTokenizer(tokenizer_json, self.table)
        self._type = np.uint16 if vocab_size <= 1 << 16 else np.int32
        size, every = int(self.table.is_spelled.sum()), self.table.of_bytes(bytes(range(256)))
        if size != vocab_size:
            raise TrainingError(f"the tokenizer has {size} tokens, vocab_size is {vocab_size}")
        if (every >= vocab_size).any():
            missing = int(np.argmax(every >= vocab_size))
            raise TrainingError(
                f"the tokenizer has no token for the byte {missing:#04x}: train another with "
                "`lmcompress train-tokenizer`"
            )

    def encode(self, raw: bytes) -> Symbols:
        """Returns tokens, uint16 (n,), or int32 if there are more than 65,536."""
        return self._tokenizer.encode(raw).astype(self._type)

    def encode_source(self, raw: bytes) -> Symbols:
        """Returns the same; it is kept on disk, for a megabyte takes a second or two."""
        cache, key = ArrayCache("tokens", _CACHE_BYTES), (self.sha256, hashlib.sha256(raw).digest())
        if (arrays := cache.load(key)) is not None:
            return arrays[0].astype(self._type, copy=False)
        tokens = self.encode(raw)
        cache.save(key, [tokens])
        return tokens

    def join(self, symbols: Symbols) -> bytes:
        """Returns the text of tokens."""
        return self.table.join(symbols.astype(np.int32))

    def num_bytes(self, symbols: Symbols) -> int:
        """Returns how many bytes tokens stand for."""
        return self.table.num_bytes(symbols.astype(np.int32))


def alphabet_of(config: TrainConfig) -> Bytes | Tokens:
    """Returns the alphabet of a run.

    Raises:
      TrainingError: If its tokenizer cannot be read, or has another number of tokens.
      UnsupportedModelError: If it is none, or of a kind that cannot be used.
      MissingDependencyError: Without the `tokenizers` package, if it needs it.
    """
    if not config.tokenizer:
        return Bytes()
    try:
        text = Path(config.tokenizer).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise TrainingError(
            f"cannot read the tokenizer {config.tokenizer} ({exc}): make it with "
            "`lmcompress train-tokenizer`"
        ) from exc
    return Tokens(text, config.model.vocab_size)
