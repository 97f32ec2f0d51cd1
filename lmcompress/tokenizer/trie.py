"""The token trie: a vocabulary by its bytes, so that a model of tokens predicts bytes.

Sorted by their bytes, the tokens that begin alike are neighbours, so every node of the trie is a
range of them. What a model says of a token then is the product of what it says of its bytes, one
after the other, and, where a token may both end and go on, of its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Symbols = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int32]


class Trie(NamedTuple):
    """Nodes in order of depth; node 0 is the root, which is not a token.

    The children of a node have consecutive numbers, in the order of their bytes.
    """

    order: Symbols
    """Symbols sorted by their bytes, (s,); of two that are spelled alike, the lower first."""
    first: Integers
    """order[first[node] : stop[node]] are the symbols that begin with a node's bytes, (nodes,)."""
    own_stop: Integers
    """order[first[node] : own_stop[node]] are those that are its bytes, (nodes,)."""
    stop: Integers
    children: Integers
    """A node's children are children[node] .. children[node + 1] - 1, (nodes + 1,)."""
    parent: Integers
    depth: Integers
    """Bytes of a node, (nodes,)."""
    byte: npt.NDArray[np.uint8]
    """The last of a node's bytes, (nodes,)."""
    node: Integers
    """The node that spells a symbol, -1 if no node does, (symbols,)."""


def build_trie(spellings: Sequence[bytes]) -> Trie:
    """Returns the trie of symbols, each with its bytes; those without bytes are in no node."""
    order = sorted((s for s, word in enumerate(spellings) if word), key=spellings.__getitem__)
    letters, lengths = _letters([spellings[symbol] for symbol in order])
    shared = _shared_with_previous(letters, lengths)
    position = np.arange(len(order))
    of_word = np.zeros(len(order), np.int64)  # the node, at the present depth, of each word
    levels = [(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.uint8))]
    total = 1
    for depth in range(1, int(lengths.max(initial=0)) + 1):
        words = position[lengths >= depth]
        begins = shared[words] < depth  # another prefix than the word before, or a shorter word
        heads = words[begins]
        levels.append((heads, of_word[heads], letters[heads, depth - 1]))
        of_word[words] = total + np.cumsum(begins) - 1
        total += len(heads)
    return _trie(np.array(order), of_word, levels, len(spellings))


def _letters(words: list[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Returns sorted words as rows of a matrix, filled up with zeros, and their lengths."""
    lengths = np.array([len(word) for word in words], np.int64)
    width = int(lengths.max(initial=0))
    raw = b"".join(word.ljust(width, b"\0") for word in words)
    return np.frombuffer(raw, np.uint8).reshape(len(words), width), lengths


def _shared_with_previous(
    letters: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Returns how many bytes each word begins with that the word before begins with too."""
    shared = np.zeros(len(lengths), np.int64)
    alike = np.cumprod(letters[1:] == letters[:-1], axis=1, dtype=np.bool_).sum(axis=1)
    shared[1:] = np.minimum(alike, np.minimum(lengths[1:], lengths[:-1]))
    return shared


def _trie(
    order: npt.NDArray[np.int64],
    of_word: npt.NDArray[np.int64],
    levels: list[tuple[Any, Any, Any]],
    num_symbols: int,
) -> Trie:
    first, parent, byte = (np.concatenate(column) for column in zip(*levels, strict=True))
    depth = np.repeat(np.arange(len(levels)), [len(level[0]) for level in levels])
    own = np.bincount(of_word, minlength=len(first))  # words that end at each node
    below = own.copy()
    for level in range(len(levels) - 1, 0, -1):
        nodes = np.flatnonzero(depth == level)
        np.add.at(below, parent[nodes], below[nodes])
    node = np.full(num_symbols, -1)
    node[order] = of_word
    children = np.searchsorted(parent[1:], np.arange(len(first) + 1)) + 1
    return Trie(
        order=order.astype(np.int32),
        first=first.astype(np.int32),
        own_stop=(first + own).astype(np.int32),
        stop=(first + below).astype(np.int32),
        children=children.astype(np.int32),
        parent=parent.astype(np.int32),
        depth=depth.astype(np.int32),
        byte=byte.astype(np.uint8),
        node=node.astype(np.int32),
    )
