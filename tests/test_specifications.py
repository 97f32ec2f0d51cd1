"""Second implementations, of what docs/arithmetic.md and docs/adaptive.md say, agree."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec.predictor import ContextPolicy, GPTPredictor
from lmcompress.gpt.quantization import ARITHMETIC_VERSION, ExactWeights
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.store import DEFAULT_MODEL, load_model
from lmcompress.tokenizer.rounds import ALWAYS, NEVER, Rounds, is_open
from lmcompress.tokenizer.spelling import HostSums, prefix_sums, spell
from lmcompress.tokenizer.vocabulary import TokenTable
from tests.support.coding import lane_lengths
from tests.support.exactness import CONFIGS, random_tokens, random_weights
from tests.support.second_implementation import SecondGPT
from tests.support.second_spelling import second_spelling
from tests.support.second_stage import Row, SecondStage

PAGE = Path(__file__).resolve().parent.parent / "docs" / "arithmetic.md"


@pytest.mark.parametrize("name", [*CONFIGS, "wide", DEFAULT_MODEL])
def test_a_second_implementation_gives_the_same_frequencies(name: str) -> None:
    if name == "wide":
        weights = random_weights("llama")
        config = dataclasses.replace(weights.config, activation_bits=12)
        weights = ExactWeights(config, weights.arrays)
    else:
        weights = random_weights(name) if name in CONFIGS else load_model(name).weights
    tokens = random_tokens(1, 24)
    expected = TorchEngine(weights, "cpu").predict(tokens)[:, 0]

    second = SecondGPT(weights.config, dict(weights.arrays))

    for token, row in zip(tokens[0], expected, strict=True):
        assert np.array_equal(np.array(second.read(int(token))), 1 + row.astype(np.int64))


@pytest.mark.parametrize("name", ["gpt-2", "ngrams"])
def test_a_stream_starts_anew_as_the_page_says(name: str) -> None:
    weights, tokens, window, overlap = random_weights(name), random_tokens(1, 30), 11, 3
    engine = TorchEngine(weights, "cpu")
    predictor = GPTPredictor(weights, engine, ContextPolicy(window, overlap))
    expected = predictor.predict(tokens)[:, 0]

    read: list[int] = []
    second = SecondGPT(weights.config, dict(weights.arrays))
    for token, row in zip(tokens[0].tolist(), expected, strict=True):
        if len(second.tokens) == window:
            second = SecondGPT(weights.config, dict(weights.arrays))
            for before in read[-overlap:]:
                second.read(before)
        read.append(token)
        assert np.array_equal(np.array(second.read(token)), 1 + row.astype(np.int64))


def test_the_page_is_of_this_version_of_the_arithmetic() -> None:
    assert re.search(r"Version (\d+) of the arithmetic", PAGE.read_text("utf-8"))[1] == str(
        ARITHMETIC_VERSION
    )


def stage_text(num_bytes: int) -> bytes:
    """Returns lines that repeat, change in places and end, words, numbers and other letters.

    Every other line ends in one of two ways after 49 bytes that are the same: where it ends as the
    last but one did, a match of 40 bytes is found. À has the byte 128, and a word goes on after it.
    """
    lines = [
        f"{i % 7};the quick brown fox number {i} jumps over the lazy dogs, été {i * i % 13}\n"
        f"Àrivers of the town run by Àroads and roads by the {('sea', 'old mill')[i % 2]}\n"
        for i in range(num_bytes)
    ]
    return "".join(lines).encode()[:num_bytes]


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize(("lanes", "num_bytes"), [(1, 1500), (3, 1999), (16, 2000)])
def test_a_second_adaptive_stage_gives_the_same_probabilities(
    lanes: int, num_bytes: int, is_large: bool
) -> None:
    rounds = random_rounds(stage_text(num_bytes), lane_lengths(num_bytes, lanes), [1])
    assert (rounds.ends == ALWAYS).all()

    lengths = lane_lengths(num_bytes, lanes)
    assert_equal_decisions(rounds, lengths, of_tokens=False, is_large=is_large)


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("lengths", [[1500], [700, 1, 500], [130] * 11])
def test_a_second_adaptive_stage_spells_tokens_alike(lengths: list[int], is_large: bool) -> None:
    rounds = random_rounds(stage_text(sum(lengths)), lengths, range(1, 13))
    assert np.unique(is_open(rounds.ends)).tolist() == [False, True]

    assert_equal_decisions(rounds, lengths, of_tokens=True, is_large=is_large)


def random_rounds(text: bytes, lengths: Sequence[int], token_bytes: Sequence[int]) -> Rounds:
    """Returns rounds of lanes whose tokens have random lengths, and a model that knows a little."""
    rng = np.random.default_rng(len(lengths))
    texts = np.split(np.frombuffer(text, np.uint8), np.cumsum(lengths)[:-1])
    at, tokens = [0] * len(lengths), [0] * len(lengths)
    rows, sizes = [], []
    waiting: list[int] = []
    while True:
        if not waiting:
            waiting = [i for i, length in enumerate(lengths) if at[i] < length]
            for i in waiting:
                tokens[i] = min(int(rng.choice(token_bytes)), lengths[i] - at[i])
        if not waiting:
            break
        sizes.append(len(waiting))
        for i in waiting:
            tokens[i] -= 1
            rows.append((i, texts[i][at[i]], tokens[i] == 0))
            at[i] += 1
        waiting = [i for i in waiting if tokens[i]]
    lanes, symbols, is_end = (np.array(column) for column in zip(*rows, strict=True))
    freqs = rng.integers(0, 1 << 16, (len(rows), 256)).astype(np.float32)
    freqs[np.arange(len(rows)), symbols] += 1 << 20
    likely = np.where(is_end, rng.integers(1, ALWAYS, len(rows)), rng.integers(1, 1 << 20))
    sure = np.where(is_end, ALWAYS, NEVER)
    ends = np.where(rng.random(len(rows)) < (0.8 if max(token_bytes) > 1 else 0), likely, sure)
    return Rounds(
        np.array(sizes, np.int32), lanes.astype(np.int32), symbols.astype(np.uint8), freqs,
        ends.astype(np.int32), is_end.astype(np.bool_),
    )  # fmt: skip


def assert_equal_decisions(
    rounds: Rounds, lengths: list[int], *, of_tokens: bool, is_large: bool
) -> None:
    stage = AdaptiveStage(lengths, of_tokens=of_tokens, is_large=is_large)
    bits, expected = stage.predict(rounds)

    columns = (column.tolist() for column in rounds.arrays()[1:])
    rows = iter([Row(*values) for values in zip(*columns, strict=True)])
    split = [list(itertools.islice(rows, size)) for size in rounds.sizes.tolist()]
    found = SecondStage(lengths, is_large).run(split)
    assert [y for y, _ in found] == bits.tolist()
    assert [4 * p for _, p in found] == (1 + expected[:, 1].astype(np.int64)).tolist()


@pytest.mark.parametrize("most", [1, 3, 1 << 30])
def test_a_second_implementation_spells_tokens_alike(most: int) -> None:
    rng = np.random.default_rng(most)
    words = [rng.integers(97, 103, n, np.uint8).tobytes() for n in rng.integers(1, 6, 600)]
    table = TokenTable((*words, b"", b"a", b"a"))
    symbols = np.append(table.canonical(np.arange(0, 600, 9, dtype=np.int32)), table.of_bytes(b"z"))
    spellings = {s: table.join(np.array([s])) for s in table.trie.order.tolist()}
    numerators = {s: int(rng.integers(0, most)) * (s < table.escape) for s in spellings}
    in_order = np.array([[numerators[s] for s in table.trie.order.tolist()]], np.int32)

    sums = HostSums(table.trie, prefix_sums(np.repeat(in_order, len(symbols), axis=0)))
    rounds = spell(table.trie, sums, symbols, len(symbols))

    for lane, symbol in enumerate(symbols.tolist()):
        mine = rounds.lanes == lane
        found = zip(rounds.freqs[mine].tolist(), rounds.ends[mine].tolist(), strict=True)
        assert list(second_spelling(spellings, numerators, symbol)) == list(found)
