"""The token trie: nodes are ranges of the sorted vocabulary, with the right bytes."""

from __future__ import annotations

import numpy as np
import pytest

from lmcompress.tokenizer.trie import Trie, build_trie

VOCABULARIES = {
    "few": [b"a", b"ab", b"abc", b"b", b"bc"],
    "zeros": [b"\0", b"\0\0", b"\0\0\1", b"\1", b"\xff\xff"],
    "alike": [b"x", b"xy", b"", b"xy", b"x", b"z"],
    "one": [b"", b"long word"],
    "inner nodes that are no tokens": [b"abcd", b"abef", b"a", b"q"],
}


def random_vocabulary(seed: int) -> list[bytes]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, 7, 400)
    return [bytes(generator.integers(97, 101, length, np.uint8)) for length in lengths]


@pytest.fixture(params=[*VOCABULARIES, "random"])
def words(request: pytest.FixtureRequest) -> list[bytes]:
    return VOCABULARIES.get(request.param) or random_vocabulary(3)


def bytes_of(trie: Trie, node: int) -> bytes:
    parts = []
    while node:
        parts.append(int(trie.byte[node]))
        node = int(trie.parent[node])
    return bytes(reversed(parts))


def test_there_is_a_node_for_every_beginning_of_a_word(words: list[bytes]) -> None:
    trie = build_trie(words)

    beginnings = {word[:n] for word in words for n in range(len(word) + 1)}
    nodes = [bytes_of(trie, node) for node in range(len(trie.first))]
    assert sorted(nodes) == sorted(beginnings)
    assert trie.depth.tolist() == [len(node) for node in nodes]


def test_the_tokens_of_a_node_are_a_range(words: list[bytes]) -> None:
    trie = build_trie(words)

    for node in range(len(trie.first)):
        spelled = bytes_of(trie, node)
        first, own, stop = trie.first[node], trie.own_stop[node], trie.stop[node]
        below = [s for s, word in enumerate(words) if word and word.startswith(spelled)]
        assert sorted(trie.order[first:stop].tolist()) == below
        same = [s for s, word in enumerate(words) if word and word == spelled]
        assert trie.order[first:own].tolist() == same  # the lowest first


def test_children_are_consecutive_and_in_the_order_of_their_bytes(words: list[bytes]) -> None:
    trie = build_trie(words)

    for node in range(len(trie.first)):
        children = np.arange(trie.children[node], trie.children[node + 1])
        assert children.tolist() == [c for c, p in enumerate(trie.parent) if c and p == node]
        assert (np.diff(trie.byte[children].astype(int)) > 0).all()


def test_every_word_has_its_node(words: list[bytes]) -> None:
    trie = build_trie(words)

    for word, node in zip(words, trie.node.tolist(), strict=True):
        assert node == -1 if not word else bytes_of(trie, node) == word
