"""Text into tokens, for the encoder: a model's tokenizer, checked span by span.

Any sequence of tokens whose bytes are the text decodes to it, so the tokenizer's output is compared
with the text. A span that differs is halved until it agrees or one character is left. That is
taken byte by byte, as is what is not UTF-8.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lmcompress.errors import ModelNotFoundError, UnsupportedModelError
from lmcompress.system.extras import needs_extra
from lmcompress.tokenizer.trie import Symbols
from lmcompress.tokenizer.vocabulary import TokenTable, parse_tokenizer

TOKENIZER_FILE = "tokenizer.json"
_PIECE_CHARACTERS = 1 << 15
"""Text tokenized in one call, up to the next line: bounds memory."""
_PIECE = re.compile(rf"(?s).{{1,{_PIECE_CHARACTERS}}}(?:[^\n]{{0,{_PIECE_CHARACTERS}}}\n)?")
_SPANS = re.compile("[\udc80-\udcff]+|[^\udc80-\udcff]+")
"""Bytes that are not UTF-8, as `surrogateescape` spells them, or text."""


class TextTokenizer:
    """Cuts any bytes into symbols that spell them.

    Raises:
      MissingDependencyError: Without the `tokenizers` package.
      UnsupportedModelError: If the tokenizer is damaged, or not the one that made the table.
    """

    def __init__(self, tokenizer_json: str, table: TokenTable) -> None:
        what = "cutting text into tokens, which decompressing does without,"
        with needs_extra("pretrained", what, "tokenizers"):
            tokenizers: Any = importlib.import_module("tokenizers")
        self.table = table
        found = TokenTable.from_tokenizer_json(tokenizer_json, len(table.tokens))
        if found.tokens != table.tokens:
            raise UnsupportedModelError(
                "the tokenizer is not the one that the model was imported with: import it again"
            )
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(_plain(tokenizer_json))
        except BaseException as exc:  # bare Exception, and what a panic in Rust is: none of them
            if not isinstance(exc, Exception) and type(exc).__name__ != "PanicException":
                raise
            raise UnsupportedModelError(f"tokenizer.json cannot be used: {exc}") from exc

    def encode(self, raw: bytes) -> Symbols:
        """Returns symbols (n,) with `table.join(symbols) == raw`."""
        parts = [symbols for span in _spans(raw) for symbols in self._encode_span(span)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def _encode_span(self, span: str) -> Iterator[Symbols]:
        if "\udc80" <= span[0] <= "\udcff":
            yield self.table.of_bytes(span.encode("utf-8", "surrogateescape"))
            return
        for piece in _PIECE.findall(span):
            yield from self._encode_text(piece)

    def _encode_text(self, text: str) -> Iterator[Symbols]:
        raw = text.encode()
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        symbols = np.array(ids, np.int32)
        if self.table.join(symbols) == raw:
            yield self.table.canonical(symbols)
        elif len(text) == 1:
            yield self.table.of_bytes(raw)
        else:
            half = len(text) // 2
            yield from self._encode_text(text[:half])
            yield from self._encode_text(text[half:])


def broken_bytes(raw: bytes) -> int:
    """Returns how many bytes of a text are not UTF-8."""
    return len(raw) - len(raw.decode("utf-8", "ignore").encode())


def _spans(raw: bytes) -> Iterator[str]:
    return (match[0] for match in _SPANS.finditer(raw.decode("utf-8", "surrogateescape")))


def _plain(tokenizer_json: str) -> str:
    """Returns the tokenizer without normalizers and special tokens, which would change the text."""
    parts = parse_tokenizer(tokenizer_json)
    parts |= dict.fromkeys(("normalizer", "post_processor", "truncation", "padding"))
    added = parts.get("added_tokens") or []
    parts["added_tokens"] = [token for token in added if not token["special"]]
    return json.dumps(parts).replace('"add_prefix_space": true', '"add_prefix_space": false')


@functools.lru_cache(maxsize=4)
def tokenizer_of(folder: Path, table: TokenTable) -> TextTokenizer:
    """Returns the tokenizer from the folder of a table's model.

    Raises:
      ModelNotFoundError: If there is none.
    """
    try:
        text = (folder / TOKENIZER_FILE).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelNotFoundError(
            f"{folder} has no {TOKENIZER_FILE} that can be read: import the model again"
        ) from exc
    return TextTokenizer(text, table)
