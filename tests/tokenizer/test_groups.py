"""Two levels of coding: the same integers from both implementations, next to no bits lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lmcompress.gpt.cpu.group_softmax import FastGroups
from lmcompress.gpt.cuda.group_softmax import DeviceGroups
from lmcompress.gpt.group_softmax import ReferenceGroups
from lmcompress.range_coder import check_freqs, symbol_bits
from lmcompress.tokenizer.groups import FLAT, GroupSums, group_freqs
from lmcompress.tokenizer.vocabulary import GROUP_SIZE

Groups = Callable[[np.ndarray, np.ndarray], GroupSums]
SCALES = {"flat": 0.0, "usual": 3.0, "sharp": 30.0, "extreme": 3000.0}


def random_logits(scale: float, vocab_size: int, rows: int = 20) -> np.ndarray:
    generator = np.random.default_rng(vocab_size)
    logits = (scale * generator.standard_normal((rows, vocab_size))).astype(np.float32)
    return logits - generator.integers(0, 40, (rows, 1)).astype(np.float32)


def random_mask(vocab_size: int) -> np.ndarray:
    is_spelled = np.random.default_rng(1).random(vocab_size) < 0.9
    is_spelled[: min(GROUP_SIZE, vocab_size - 1)] = False  # a group without a share
    is_spelled[-1] = True
    return is_spelled


def on_device(logits: np.ndarray, is_spelled: np.ndarray) -> GroupSums:
    return DeviceGroups(is_spelled, "cpu")(torch.from_numpy(logits), is_spelled)


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES.keys())
@pytest.mark.parametrize("vocab_size", [2, 256, 257, 1000, 5120])
@pytest.mark.parametrize("groups_of", [FastGroups, on_device])
def test_implementations_equal_the_definition(
    vocab_size: int, scale: float, groups_of: Groups
) -> None:
    logits, is_spelled = random_logits(scale, vocab_size), random_mask(vocab_size)
    reference = ReferenceGroups(logits, is_spelled)
    fast = groups_of(logits, is_spelled)

    assert np.array_equal(fast.sums, reference.sums)
    for group in range(reference.sums.shape[1] + 1):
        groups = np.full(len(logits), group)
        assert np.array_equal(fast.members(groups), reference.members(groups))


@pytest.mark.parametrize("groups_of", [ReferenceGroups, FastGroups, on_device])
@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES.keys())
def test_both_levels_are_weights_that_the_coder_takes(scale: float, groups_of: Groups) -> None:
    found = groups_of(random_logits(scale, 1000), random_mask(1000))
    last = np.array([0, 1, 1000, (1 << 24) - 6] * 5)

    upper = group_freqs(found.sums, last)

    check_freqs(upper)
    assert np.array_equal(upper[:, -1], last)
    for group in range(5):
        check_freqs(found.members(np.full(20, group)))


def test_groups_without_a_share_are_flat() -> None:
    found = FastGroups(random_logits(3.0, 1000), random_mask(1000))

    assert np.all(found.members(np.zeros(20, np.int64)) == FLAT)
    assert np.all(found.members(np.full(20, 4)) == FLAT)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("vocab_size", [5120, 49_152])
def test_the_expected_cost_of_two_levels_is_below_a_hundredth_of_a_bit(
    vocab_size: int, scale: float
) -> None:
    logits = random_logits(scale, vocab_size, rows=4)
    probs = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    found = FastGroups(logits, np.ones(vocab_size, np.bool_))
    upper = group_freqs(found.sums, np.full(4, 1 << 10))  # an escape of 2**-14, as at first

    bits = np.empty_like(probs)
    for group in range(vocab_size // GROUP_SIZE):
        groups = np.full(4, group)
        members = found.members(groups)
        for member in range(GROUP_SIZE):
            lower = symbol_bits(members, np.full(4, member))
            bits[:, group * GROUP_SIZE + member] = symbol_bits(upper, groups) + lower
    cost = (probs * (bits + np.log2(np.maximum(probs, 1e-300)))).sum(axis=1)

    assert cost.max() < 0.01
    assert cost.max() < 2e-4  # what it is
