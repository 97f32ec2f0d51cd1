"""From tokens to bytes: nothing is lost, every row is one that the coder takes."""

from __future__ import annotations

import numpy as np
import pytest

from lmcompress.errors import CorruptFrameError
from lmcompress.range_coder import check_freqs, symbol_bits
from lmcompress.tokenizer.rounds import ALWAYS, NEVER, Rounds, is_open
from lmcompress.tokenizer.spelling import HostSums, TokenWalk, longest_symbols, prefix_sums, spell
from lmcompress.tokenizer.vocabulary import TokenTable

WORDS = [b"a", b"ab", b"abc", b"abcd", b"b", b"bcd", b"", b"ab", b"cab"]
LANES = np.zeros(1, np.int32)


def random_table(seed: int) -> TokenTable:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 6, 3000)
    return TokenTable(tuple(bytes(generator.integers(90, 110, n, np.uint8)) for n in lengths))


def random_numerators(table: TokenTable, rows: int, most: int = 1 << 30) -> np.ndarray:
    generator = np.random.default_rng(1)
    logs = generator.uniform(0, np.log(most), (rows, len(table.trie.order)))
    return np.where(table.trie.order < table.escape, np.exp(logs), 0).astype(np.int32)


def spell_of(table: TokenTable, numerators: np.ndarray, symbols: np.ndarray) -> Rounds:
    sums = HostSums(table.trie, prefix_sums(numerators))
    return spell(table.trie, sums, symbols, len(symbols))


def walk_of(table: TokenTable, numerators: np.ndarray) -> TokenWalk:
    return TokenWalk(table.trie, HostSums(table.trie, prefix_sums(numerators)), len(numerators))


def exact_cost(table: TokenTable, numerators: np.ndarray, rounds: Rounds, i: int) -> float:
    """Returns the bits of a symbol as the product along its bytes, before any rounding."""
    trie, sums, node, bits = table.trie, np.append(0, np.cumsum(numerators.astype(float))), 0, 0.0
    mine = rounds.lanes == i
    for letter, is_end in zip(rounds.symbols[mine], rounds.is_end[mine], strict=True):
        children = range(trie.children[node], trie.children[node + 1])
        [child] = [c for c in children if trie.byte[c] == letter]
        below = sums[trie.stop[node]] - sums[trie.own_stop[node]]
        whole = sums[trie.stop[child]] - sums[trie.first[child]]
        own = sums[trie.own_stop[child]] - sums[trie.first[child]]
        bits -= np.log2(whole / below)
        if trie.own_stop[child] > trie.first[child] and trie.stop[child] > trie.own_stop[child]:
            bits -= np.log2((own if is_end else whole - own) / whole)
        node = child
    return bits


def coded_cost(rounds: Rounds, i: int) -> float:
    mine = rounds.lanes == i
    ends, chosen = rounds.ends[mine].astype(float), rounds.is_end[mine]
    likely = np.where(chosen, ends, ALWAYS - ends) / ALWAYS
    choices = is_open(rounds.ends[mine])
    return float(
        symbol_bits(rounds.freqs[mine], rounds.symbols[mine]).sum() - np.log2(likely[choices]).sum()
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_bytes_of_a_token_cost_what_the_token_costs(seed: int) -> None:
    table = random_table(seed)
    symbols = table.canonical(np.arange(0, 3000, 7, dtype=np.int32))
    numerators = random_numerators(table, len(symbols))

    rounds = spell_of(table, numerators, symbols)

    for i, symbol in enumerate(symbols.tolist()):
        node = table.trie.node[symbol]
        own = slice(table.trie.first[node], table.trie.own_stop[node])
        share = numerators[i, own].sum(dtype=float) / numerators[i].sum(dtype=float)
        assert abs(exact_cost(table, numerators[i], rounds, i) + np.log2(share)) < 1e-9
        if share > 1e-4:
            assert abs(coded_cost(rounds, i) + np.log2(share)) < 0.01


@pytest.mark.parametrize("most", [1, 2, 1 << 30])
def test_every_row_is_one_that_the_coder_takes(most: int) -> None:
    table = random_table(4)
    symbols = table.canonical(np.arange(0, 3000, 11, dtype=np.int32))

    rounds = spell_of(table, random_numerators(table, len(symbols), most), symbols)

    check_freqs(rounds.freqs)
    assert ((rounds.ends >= NEVER) & (rounds.ends <= ALWAYS)).all()
    assert rounds.is_end[rounds.ends == ALWAYS].all()
    assert not rounds.is_end[rounds.ends == NEVER].any()


def test_sums_of_the_largest_vocabulary_do_not_overflow() -> None:
    tokens = [bytes([a, b, c]) for a in range(64) for b in range(64) for c in range(64)]
    table = TokenTable(tuple(tokens))
    numerators = np.where(table.trie.order < table.escape, 1 << 30, 0).astype(np.int32)

    rounds = spell_of(table, numerators[None], np.array([5000], np.int32))

    check_freqs(rounds.freqs)
    assert coded_cost(rounds, 0) == pytest.approx(18, abs=0.01)


def test_children_are_alike_where_all_numerators_are_zero() -> None:
    table = TokenTable((b"ab", b"ac", b"ad", b"b"))
    numerators = np.zeros((1, len(table.trie.order)), np.int32)
    numerators[0, table.trie.order == 3] = 1 << 30

    rounds = spell_of(table, numerators, np.array([1], np.int32))

    seen = rounds.freqs[1, [ord("b"), ord("c"), ord("d")]]
    assert np.ptp(seen) <= 1
    assert rounds.freqs[1].sum() == seen.sum()


def test_two_tokens_that_are_spelled_alike_are_coded_as_the_first() -> None:
    table = TokenTable(tuple(WORDS))

    assert table.canonical(np.array([1, 7], np.int32)).tolist() == [1, 1]
    numerators = np.where(np.isin(table.trie.order, (1, 7)), 1 << 20, 0).astype(np.int32)
    rounds = spell_of(table, numerators[None], np.array([1], np.int32))
    assert coded_cost(rounds, 0) < 0.001  # the sum of both


@pytest.mark.parametrize("count", [1, 4, 5, 30, 31])
def test_many_steps_are_spelled_as_one_after_the_other(count: int) -> None:
    table, lanes = random_table(6), 5
    symbols = table.canonical(np.arange(0, 31 * count, 31, dtype=np.int32))
    numerators = random_numerators(table, count)
    sums = HostSums(table.trie, prefix_sums(numerators))

    found = spell(table.trie, sums, symbols, lanes)

    steps = [
        spell_of(table, numerators[start : start + lanes], symbols[start : start + lanes])
        for start in range(0, count, lanes)
    ]
    for i, array in enumerate(found.arrays()):
        assert np.array_equal(array, np.concatenate([step.arrays()[i] for step in steps]))


def test_a_walk_finds_every_symbol_again() -> None:
    table = random_table(5)
    symbols = table.canonical(np.arange(0, 3000, 13, dtype=np.int32))
    numerators = random_numerators(table, len(symbols))
    rounds = spell_of(table, numerators, symbols)
    walk, start = walk_of(table, numerators), 0

    for size in rounds.sizes.tolist():
        part = slice(start, start + size)
        lanes = rounds.lanes[part]
        assert np.array_equal(walk.freqs(lanes), rounds.freqs[part])
        assert np.array_equal(walk.enter(lanes, rounds.symbols[part]), rounds.ends[part])
        start += size

    assert np.array_equal(walk.symbols(np.arange(len(symbols))), symbols)


def test_bytes_that_spell_no_token_are_damage() -> None:
    table = TokenTable(tuple(WORDS))
    walk = walk_of(table, np.ones((1, len(table.trie.order)), np.int32))
    walk.enter(LANES, np.array([ord("c")], np.uint8))

    with pytest.raises(CorruptFrameError, match="spell no token"):
        walk.enter(LANES, np.array([ord("x")], np.uint8))


def test_every_byte_can_be_spelled_by_every_vocabulary() -> None:
    table, every = TokenTable(tuple(WORDS)), bytes(range(256))

    symbols = table.of_bytes(every)

    assert table.join(symbols) == every
    assert symbols[ord("a")] == 0
    assert symbols[ord("c")] == table.escape + ord("c")  # only longer tokens begin with it
    spell_of(table, np.ones((256, len(table.trie.order)), np.int32), symbols)


def test_a_prompt_is_cut_into_the_longest_tokens() -> None:
    table = TokenTable(tuple(WORDS))

    symbols = longest_symbols(table.trie, b"abcdabxbcabcab")

    found = [table.join(symbols[i : i + 1]) for i in range(len(symbols))]
    assert found == [b"abcd", b"ab", b"x", b"b", b"cab", b"cab"]
    assert longest_symbols(table.trie, b"").tolist() == []
