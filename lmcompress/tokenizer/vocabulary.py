"""Tokens and bytes: what a decoder must know of a tokenizer, as a table.

A symbol is a token's id or, from `escape` on, a byte that is not itself a token: escape + byte.
So symbols spell every text. The table is derived once from a `tokenizer.json` (byte-level BPE:
Sennrich et al., 2016; Radford et al., 2019) and kept with the model, so decoding needs no
tokenizer.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.errors import UnsupportedModelError
from lmcompress.tokenizer.trie import Symbols, Trie, build_trie

MAX_TOKEN_BYTES = 1024
"""The most bytes of a token; longer ones are never used."""


@dataclasses.dataclass(frozen=True, eq=False)
class TokenTable:
    """The bytes of each token of a vocabulary; none for those that no text spells.

    Raises ValueError if there is nothing to spell, or a token is too long.
    """

    tokens: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Checks the tokens."""
        if not any(self.tokens):
            raise ValueError("no token has bytes: this is not a tokenizer's table")
        if max(map(len, self.tokens)) > MAX_TOKEN_BYTES:
            raise ValueError(f"a token has more than {MAX_TOKEN_BYTES} bytes")

    @property
    def escape(self) -> int:
        """The symbol of the byte 0, if that is not a token."""
        return len(self.tokens)

    @functools.cached_property
    def is_spelled(self) -> npt.NDArray[np.bool_]:
        """Whether a token has bytes, (vocab_size,): the others have no share in a prediction."""
        return np.array([bool(token) for token in self.tokens])

    @functools.cached_property
    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each symbol; none for tokens, and bytes, that are never used."""
        taken = {token for token in self.tokens if len(token) == 1}
        single = (bytes([byte]) for byte in range(256))
        return (*self.tokens, *(b"" if byte in taken else byte for byte in single))

    @functools.cached_property
    def trie(self) -> Trie:
        """The trie of all symbols."""
        return build_trie(self.spellings)

    @functools.cached_property
    def _lengths(self) -> npt.NDArray[np.int64]:
        return np.array([len(spelling) for spelling in self.spellings], np.int64)

    @functools.cached_property
    def _canonical(self) -> npt.NDArray[np.int32]:
        """The symbol that each symbol is coded as: of those spelled alike, the first."""
        trie = self.trie
        canonical = np.arange(len(self.spellings), dtype=np.int32)
        is_spelled = trie.node >= 0
        canonical[is_spelled] = trie.order[trie.first[trie.node[is_spelled]]]
        return canonical

    @functools.cached_property
    def _bytes(self) -> npt.NDArray[np.int32]:
        """The symbol of each byte alone, (256,)."""
        nodes = self.trie.children[0] + np.arange(256)
        symbols: Symbols = self.trie.order[self.trie.first[nodes]]
        return symbols

    def canonical(self, ids: Symbols) -> Symbols:
        """Returns token ids as the symbols that they are coded as."""
        symbols: Symbols = self._canonical[ids]
        return symbols

    def of_bytes(self, raw: bytes) -> Symbols:
        """Returns bytes as symbols, one for each."""
        symbols: Symbols = self._bytes[np.frombuffer(raw, np.uint8)]
        return symbols

    def join(self, symbols: Symbols) -> bytes:
        """Returns the bytes that symbols (n,) stand for."""
        return b"".join(map(self.spellings.__getitem__, symbols.tolist()))

    def num_bytes(self, symbols: Symbols) -> int:
        """Returns how many bytes symbols stand for."""
        return int(self.lengths(symbols).sum())

    def lengths(self, symbols: Symbols) -> npt.NDArray[np.int64]:
        """Returns how many bytes each of the symbols stands for."""
        return self._lengths[symbols]

    def read_as(self, symbols: Symbols, bos_id: int) -> npt.NDArray[np.int64]:
        """Returns the tokens that a model reads for symbols of any shape.

        For a byte that is not a token, that is the token which opens a text.
        """
        return np.where(symbols < self.escape, symbols, bos_id).astype(np.int64)

    def digest(self) -> bytes:
        """Returns 16 bytes that change with any token."""
        digest = hashlib.blake2b(digest_size=16)
        for name, array in self.to_arrays().items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.tobytes())
        return digest.digest()

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Returns the table as arrays: all bytes, and where each token's end."""
        ends = np.cumsum([len(token) for token in self.tokens], dtype=np.int64)
        return {
            "token_bytes": np.frombuffer(b"".join(self.tokens), np.uint8),
            "token_ends": ends.astype(np.int32),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> TokenTable:
        """Inverts `to_arrays`; raises ValueError on what no table gives."""
        if set(arrays) != {"token_bytes", "token_ends"}:
            raise ValueError(f"a token table has arrays {', '.join(sorted(arrays))}")
        raw, ends = arrays["token_bytes"].tobytes(), arrays["token_ends"].astype(np.int64)
        bounds = [0, *ends.ravel().tolist()]
        if np.any(np.diff(bounds) < 0) or bounds[-1] != len(raw):
            raise ValueError("the ends of tokens do not rise to the number of bytes")
        return cls(tuple(raw[start:end] for start, end in itertools.pairwise(bounds)))

    @classmethod
    def from_tokenizer_json(cls, text: str, vocab_size: int) -> TokenTable:
        """Derives the table of a model's vocabulary from the text of its `tokenizer.json`.

        Args:
          text: The tokenizer, a byte-level BPE. Special tokens get no bytes.
          vocab_size: Tokens of the model; those unknown to the tokenizer get no bytes.

        Raises:
          UnsupportedModelError: If it is a tokenizer of another kind or of another model.
        """
        parts = parse_tokenizer(text)
        tokens = [b""] * vocab_size
        try:
            for i, token in _all_tokens(parts):
                if not 0 <= i < vocab_size:
                    raise UnsupportedModelError(
                        f"the tokenizer has token {i}, the model has {vocab_size}: "
                        "it belongs to another model"
                    )
                tokens[i] = token if len(token) <= MAX_TOKEN_BYTES else b""
            return cls(tuple(tokens))
        except (LookupError, TypeError, AttributeError, ValueError) as exc:
            raise UnsupportedModelError(f"the tokenizer cannot be used: {exc!r}") from exc


def parse_tokenizer(text: str) -> dict[str, Any]:
    """Returns the parts of a `tokenizer.json`, a byte-level BPE.

    Raises:
      UnsupportedModelError: If it is damaged, or of another kind.
    """
    try:
        parts = json.loads(text)
        model = parts["model"]
        kind = model.get("type", "BPE" if "merges" in model else "unknown")
        is_byte_level = '"ByteLevel"' in json.dumps([parts["decoder"], parts["pre_tokenizer"]])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise UnsupportedModelError(
            f"tokenizer.json is damaged ({exc!r}): download it again"
        ) from exc
    if kind != "BPE" or model.get("byte_fallback") or not is_byte_level:
        found = f"{kind}, not byte-level" if kind == "BPE" else kind
        raise UnsupportedModelError(f"the tokenizer is {found}, expected byte-level BPE")
    for affix in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(affix):
            raise UnsupportedModelError(
                f"the tokenizer has a {affix} {model[affix]!r}, expected none: the tokens of "
                "byte-level BPE are their bytes"
            )
    return parts  # type: ignore[no-any-return]


def _all_tokens(parts: dict[str, Any]) -> Sequence[tuple[int, bytes]]:
    """Returns (id, bytes) of all tokens; added ones stand for their text, special ones for none."""
    letters = byte_letters()
    found = {}
    for token, i in parts["model"]["vocab"].items():
        is_spelled = all(letter in letters for letter in token)
        found[i] = bytes(letters[letter] for letter in token) if is_spelled else b""
    for added in parts.get("added_tokens") or []:
        found[added["id"]] = b"" if added["special"] else added["content"].encode()
    return list(found.items())


@functools.cache
def byte_letters() -> dict[str, int]:
    """Returns the byte that each letter of a byte-level vocabulary stands for (GPT-2's map).

    Printable bytes stand for themselves, the others come in order from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in set(printable))
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + i): byte for i, byte in enumerate(others)
    }
