"""Any bytes become symbols whose bytes they are."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcompress.errors import MissingDependencyError, UnsupportedModelError
from lmcompress.tokenizer.vocabulary import TokenTable

pytest.importorskip("tokenizers")

from lmcompress.tokenizer.bpe import TextTokenizer, broken_bytes
from tests.support.token_model import MISSING, SPECIAL, TEXT, tokenizer_json

JSON = tokenizer_json()
TABLE = TokenTable.from_tokenizer_json(JSON, 600)
TOKENIZER = TextTokenizer(JSON, TABLE)


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "replace"))))
def test_symbols_stand_for_the_bytes_they_were_made_from(raw: bytes) -> None:
    assert TABLE.join(TOKENIZER.encode(raw)) == raw


def num_missing(symbols: np.ndarray) -> int:
    """Returns how many symbols are bytes that are no tokens."""
    return int((symbols >= TABLE.escape).sum())


def test_text_becomes_tokens() -> None:
    symbols = TOKENIZER.encode(TEXT)

    assert num_missing(symbols) == 0
    assert len(symbols) < len(TEXT) / 2


def test_a_special_token_in_the_text_is_plain_text() -> None:
    parts = [TEXT, SPECIAL.encode(), TEXT, TEXT]

    symbols = TOKENIZER.encode(b"".join(parts))

    # Found as a special token, it would not agree with the text, and all would be cut in halves.
    assert np.array_equal(symbols, np.concatenate([TOKENIZER.encode(part) for part in parts]))
    assert num_missing(symbols) == 0


@pytest.mark.parametrize("byte", MISSING)
def test_only_what_no_token_spells_stays_a_byte(byte: int) -> None:
    raw = b"the age of " + bytes([byte]) + b"wisdom"

    assert num_missing(TOKENIZER.encode(raw)) == 1


def test_cut_characters_and_encoded_surrogates_are_bytes() -> None:
    for raw in (b"\xe2\x82", b"\xed\xb0\x80", b"\xf0\x9f\x8c", b"\xc3"):
        symbols = TOKENIZER.encode(b"times " + raw + b"times")
        around = TOKENIZER.encode(b"times "), TABLE.of_bytes(raw), TOKENIZER.encode(b"times")
        assert np.array_equal(symbols, np.concatenate(around))
        assert broken_bytes(b"times " + raw + b"times") == len(raw)


@pytest.mark.parametrize("added", [False, True], ids=["normalizer", "prefix-space"])
def test_a_tokenizer_that_changes_text_changes_none_here(added: bool) -> None:
    parts = json.loads(JSON)
    if added:
        parts["pre_tokenizer"]["add_prefix_space"] = True
    else:
        parts["normalizer"] = {"type": "NFC"}
    changing = TextTokenizer(json.dumps(parts), TABLE)
    raw = "times e\u0301 times".encode()

    symbols = changing.encode(raw)

    assert num_missing(symbols) == 0
    assert np.array_equal(symbols, TOKENIZER.encode(raw))


def test_long_text_is_cut_at_line_ends() -> None:
    line = b"it was the age of wisdom\n"

    symbols = TOKENIZER.encode(line * 3000)

    assert len(symbols) == 3000 * len(TOKENIZER.encode(line))


def test_the_tokenizer_of_another_model_is_refused() -> None:
    other = TokenTable((*TABLE.tokens[:-1], b"other"))

    with pytest.raises(UnsupportedModelError, match="not the one that the model was imported with"):
        TextTokenizer(JSON, other)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    with pytest.raises(MissingDependencyError, match="tokenizers package"):
        TextTokenizer(JSON, TABLE)
