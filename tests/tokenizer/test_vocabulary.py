"""The table of tokens: derived once, stored whole, enough to decode."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmcompress.errors import UnsupportedModelError
from lmcompress.tokenizer.vocabulary import MAX_TOKEN_BYTES, TokenTable, byte_letters

TABLE = TokenTable(
    (b"", b"the", b" ", b"\xc3", *(bytes([i]) for i in range(97, 123)), *[b""] * 270)
)


def tokenizer_json(**changes: object) -> str:
    parts = {
        "added_tokens": [
            {"id": 3, "content": "<|end|>", "special": True},
            {"id": 4, "content": "  é", "special": False},
        ],
        "pre_tokenizer": {"type": "ByteLevel"},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": {"Ġ": 0, "Ã": 1, "Ġa": 2, "<|end|>": 3}, "merges": []},
    }
    return json.dumps(parts | changes)


def test_letters_are_those_of_gpt_2() -> None:
    letters = byte_letters()

    assert sorted(letters.values()) == list(range(256))
    assert (letters["Ġ"], letters["Ċ"], letters["a"], letters["Ń"]) == (32, 10, 97, 0xAD)


def test_a_tokenizer_gives_bytes_to_all_but_special_and_unknown_tokens() -> None:
    table = TokenTable.from_tokenizer_json(tokenizer_json(), 6)

    assert table.tokens == (b" ", b"\xc3", b" a", b"", "  é".encode(), b"")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "Unigram", "vocab": []}}, "is Unigram, expected byte-level BPE"),
        ({"model": {"type": "WordPiece", "vocab": {}}}, "is WordPiece"),
        ({"model": {"type": "BPE", "byte_fallback": True, "vocab": {}}}, "not byte-level"),
        ({"decoder": None, "pre_tokenizer": {"type": "Metaspace"}}, "not byte-level"),
        ({"model": {"type": "BPE", "continuing_subword_prefix": "##"}}, "has a continuing_subword"),
        ({"model": {"type": "BPE", "end_of_word_suffix": "</w>"}}, "end_of_word_suffix '</w>'"),
        ({"model": 3}, "damaged"),
        ({"model": {"type": "BPE", "vocab": {"a": 6}}}, "token 6, the model has 6"),
        ({"model": {"type": "BPE", "vocab": {}}, "added_tokens": []}, "no token has bytes"),
    ],
)
def test_other_tokenizers_are_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        TokenTable.from_tokenizer_json(tokenizer_json(**changes), 6)


def test_a_token_that_is_too_long_is_never_used() -> None:
    vocab = {"a" * MAX_TOKEN_BYTES: 0, "a" * (MAX_TOKEN_BYTES + 1): 1}
    text = tokenizer_json(model={"type": "BPE", "vocab": vocab}, added_tokens=[])

    assert list(map(len, TokenTable.from_tokenizer_json(text, 2).tokens)) == [MAX_TOKEN_BYTES, 0]


def test_symbols_are_tokens_and_then_bytes() -> None:
    symbols = np.concatenate((np.array([1, 2, 4], np.int32), TABLE.of_bytes(b"\xff\0")))

    assert TABLE.escape == len(TABLE.tokens)
    assert TABLE.join(symbols) == b"the a\xff\0"
    assert TABLE.lengths(symbols).tolist() == [3, 1, 1, 1, 1]
    assert symbols[3:].tolist() == [TABLE.escape + 255, TABLE.escape]


def test_a_byte_that_is_a_token_is_that_token() -> None:
    assert TABLE.of_bytes(b"a").tolist() == [4]


def test_a_model_reads_what_opens_a_text_for_a_byte_that_is_no_token() -> None:
    symbols = TABLE.of_bytes(b"a\xffa")

    assert TABLE.read_as(symbols, bos_id=29).tolist() == [4, 29, 4]


def test_no_symbol_that_damage_may_give_is_read_as_an_unknown_token() -> None:
    every = np.arange(TABLE.escape + 256, dtype=np.int32)

    assert TABLE.read_as(every, bos_id=0).max() < len(TABLE.tokens)


def test_the_table_is_stored_whole() -> None:
    assert TokenTable.from_arrays(TABLE.to_arrays()).tokens == TABLE.tokens


@pytest.mark.parametrize("ends", [[2, 1, 3], [1, 2, 4], [-1, 0, 3]])
def test_a_damaged_table_is_refused(ends: list[int]) -> None:
    arrays = {"token_bytes": np.zeros(3, np.uint8), "token_ends": np.array(ends, np.int32)}

    with pytest.raises(ValueError, match="ends of tokens"):
        TokenTable.from_arrays(arrays)


def test_the_digest_changes_with_each_token_and_each_end() -> None:
    tables = [(b"ab", b"c"), (b"a", b"bc"), (b"ab", b"d"), (b"ab", b"c", b"")]

    assert len({TokenTable(tokens).digest() for tokens in tables}) == 4
