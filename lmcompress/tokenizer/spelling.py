"""From what a model says of tokens to what it says of bytes and of tokens' ends, all in integers.

Numerators are those of the model's softmax, up to 2**30, in the trie's order; the sum over a node's
tokens is a difference of two prefix sums, up to 2**48.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from lmcompress.errors import CorruptFrameError
from lmcompress.jit.compiler import kernel, lean_kernel
from lmcompress.range_coder import PRECISION_BITS, Freqs
from lmcompress.tokenizer.rounds import ALWAYS, NEVER, Rounds
from lmcompress.tokenizer.trie import Integers, Symbols, Trie

SPELLS_NOTHING = "the bytes of a segment spell no token: the file is damaged"
_ALWAYS, _NEVER = ALWAYS, NEVER
_BUDGET = (1 << PRECISION_BITS) - 256
_SHARE_BITS = 62 - PRECISION_BITS
"""Sums are shifted to fewer bits than this, so that their products with a budget fit in 63."""


@lean_kernel
def _shift_of(whole):
    shift = 0
    while whole >> shift >= 1 << _SHARE_BITS:
        shift += 1
    return shift


@lean_kernel
def fill_freqs(trie, node, sums, freqs, row):
    """Fills in freqs (k, 256) of the byte after a node; bytes that lead nowhere get 0.

    Shares are differences of rounded prefix sums, so nothing is left over. Where all numerators are
    0, children are alike.
    """
    for v in range(256):
        freqs[row, v] = 0
    start, stop = trie.children[node], trie.children[node + 1]
    low = sums[trie.own_stop[node]]
    whole = sums[trie.stop[node]] - low
    shift = _shift_of(whole)
    before = np.int64(0)
    for child in range(start, stop):
        if whole:
            upper = sums[trie.stop[child]] - low
            after = (upper >> shift) * _BUDGET // (whole >> shift)
        else:
            after = np.int64(child + 1 - start) * _BUDGET // (stop - start)
        freqs[row, trie.byte[child]] = np.float32(after - before)
        before = after


@lean_kernel
def end_of(trie, node, sums):
    """Returns how likely a token ends at a node, NEVER .. ALWAYS."""
    if trie.first[node] == trie.own_stop[node]:
        return np.int64(_NEVER)
    if trie.own_stop[node] == trie.stop[node]:
        return np.int64(_ALWAYS)
    low = sums[trie.first[node]]
    own, whole = sums[trie.own_stop[node]] - low, sums[trie.stop[node]] - low
    if not whole:
        return np.int64(_ALWAYS // 2)
    shift = _shift_of(whole)
    end = ((own >> shift) << PRECISION_BITS) // (whole >> shift)
    return np.int64(min(max(end, 2), _ALWAYS - 2))


@lean_kernel
def _ancestor(trie, node, depth):
    while trie.depth[node] > depth:
        node = trie.parent[node]
    return node


@kernel
def _follow(trie, symbols, lane_count, sizes, rows, nodes, is_end):
    """Fills in the nodes that spell symbols (n,), step-major, one byte of each lane at a time.

    `rows` says which symbol a byte belongs to. Returns the number of rounds.
    """
    k, rounds = 0, 0
    for first in range(0, symbols.shape[0], lane_count):
        depth, stop = 0, min(first + lane_count, symbols.shape[0])
        while True:
            start = k
            for i in range(first, stop):
                leaf = trie.node[symbols[i]]
                if trie.depth[leaf] <= depth:
                    continue
                node = _ancestor(trie, leaf, depth + 1)
                rows[k], nodes[k], is_end[k] = i, node, node == leaf
                k += 1
            if k == start:
                break
            sizes[rounds] = k - start
            rounds, depth = rounds + 1, depth + 1
    return rounds


@lean_kernel
def child(trie, node, letter):
    """Returns the child of a node that a byte leads to, or -1."""
    for child in range(trie.children[node], trie.children[node + 1]):
        if trie.byte[child] == letter:
            return np.int64(child)
    return np.int64(-1)


@kernel
def _freqs_of(trie, sums, rows, nodes, freqs):
    for k in range(rows.shape[0]):
        fill_freqs(trie, nodes[k], sums[rows[k]], freqs, k)


@kernel
def _ends_of(trie, sums, rows, nodes, ends):
    for k in range(rows.shape[0]):
        ends[k] = end_of(trie, nodes[k], sums[rows[k]])


@kernel
def _walk_on(trie, lanes, letters, nodes):
    """Moves the nodes of some lanes on by a byte; returns whether every byte leads somewhere."""
    for k in range(lanes.shape[0]):
        found = child(trie, nodes[lanes[k]], letters[k])
        if found < 0:
            return False
        nodes[lanes[k]] = found
    return True


def prefix_sums(numerators: Integers) -> npt.NDArray[np.int64]:
    """Returns the sums of the first 0 .. s of each row of numerators (n, s): (n, s + 1)."""
    sums = np.zeros((len(numerators), numerators.shape[1] + 1), np.int64)
    np.cumsum(numerators, axis=1, dtype=np.int64, out=sums[:, 1:])
    return sums


class Sums(Protocol):
    """What a model says of n tokens to come, by nodes of the trie."""

    def freqs(self, rows: Integers, nodes: Integers) -> Freqs:
        """Returns the frequencies of the byte after a node: (k, 256).

        Args:
          rows: Which of the n tokens, (k,).
          nodes: What is known of its bytes, (k,).
        """

    def ends(self, rows: Integers, nodes: Integers) -> Integers:
        """Returns how likely tokens end at nodes, NEVER .. ALWAYS, (k,)."""


class HostSums:
    """Prefix sums of softmax numerators, in numba."""

    def __init__(self, trie: Trie, rows: npt.NDArray[np.int64]) -> None:
        """Takes sums (n, s + 1) in the trie's order."""
        self._trie, self.rows = trie, rows

    def freqs(self, rows: Integers, nodes: Integers) -> Freqs:
        """See `Sums`."""
        freqs = np.empty((len(rows), 256), np.float32)
        _freqs_of(self._trie, self.rows, rows, nodes, freqs)
        return freqs

    def ends(self, rows: Integers, nodes: Integers) -> Integers:
        """See `Sums`."""
        ends = np.empty(len(rows), np.int32)
        _ends_of(self._trie, self.rows, rows, nodes, ends)
        return ends


def spell(trie: Trie, sums: Sums, symbols: Symbols, lanes: int) -> Rounds:
    """Returns the rounds of symbols.

    Args:
      trie: Of the vocabulary.
      sums: What the model says of each symbol.
      symbols: What is to be coded, (n,), step-major; the last step may be short of some lanes.
      lanes: Symbols of a full step.
    """
    count = int(trie.depth[trie.node[symbols]].sum())
    sizes, is_end = np.empty(count, np.int32), np.empty(count, np.bool_)
    rows, nodes = np.empty(count, np.int32), np.empty(count, np.int32)
    rounds = _follow(trie, symbols, lanes, sizes, rows, nodes, is_end)
    freqs, ends = sums.freqs(rows, trie.parent[nodes]), sums.ends(rows, nodes)
    return Rounds(sizes[:rounds], rows % np.int32(lanes), trie.byte[nodes], freqs, ends, is_end)


class TokenWalk:
    """A token in each lane, spelled while it is decoded."""

    def __init__(self, trie: Trie, sums: Sums, lanes: int) -> None:
        self.trie, self._sums = trie, sums
        self.nodes = np.zeros(lanes, np.int32)
        """What is spelled in each lane so far, (lanes,)."""

    @property
    def host_sums(self) -> npt.NDArray[np.int64] | None:
        """The prefix sums of each lane, (lanes, s + 1); None if they are on a GPU."""
        return self._sums.rows if isinstance(self._sums, HostSums) else None

    def freqs(self, lanes: Integers) -> Freqs:
        """Returns the model's frequencies of the next byte of some lanes, (k, 256)."""
        return self._sums.freqs(lanes, self.nodes[lanes])

    def enter(self, lanes: Integers, letters: npt.NDArray[np.uint8]) -> Integers:
        """Takes the byte of each of some lanes; returns how likely a token ends there, (k,).

        Raises:
          CorruptFrameError: If no token goes on with such a byte.
        """
        if not _walk_on(self.trie, lanes, letters, self.nodes):
            raise CorruptFrameError(SPELLS_NOTHING)
        return self._sums.ends(lanes, self.nodes[lanes])

    def symbols(self, lanes: Integers) -> Symbols:
        """Returns the symbols that some lanes have spelled, (k,)."""
        return self.trie.order[self.trie.first[self.nodes[lanes]]]


@kernel
def _longest(trie, raw, symbols):
    """Fills in the symbols of raw bytes, each the longest that fits; returns their number."""
    count, at = 0, 0
    while at < raw.shape[0]:
        node, found, end = np.int64(0), np.int64(0), at
        while end < raw.shape[0]:
            node = child(trie, node, raw[end])
            if node < 0:
                break
            end += 1
            if trie.first[node] < trie.own_stop[node]:
                found = node
        symbols[count] = trie.order[trie.first[found]]
        at += trie.depth[found]
        count += 1
    return count


def longest_symbols(trie: Trie, raw: bytes) -> Symbols:
    """Returns symbols that spell raw bytes, each the longest that fits: needs no tokenizer."""
    symbols = np.empty(len(raw), np.int32)
    return symbols[: _longest(trie, np.frombuffer(raw, np.uint8).copy(), symbols)]
