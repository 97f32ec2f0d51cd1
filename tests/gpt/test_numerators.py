"""Softmax numerators of large vocabularies: the same integers from all implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmcompress.gpt import constants
from lmcompress.gpt.cpu.numerators import sums_from_logits
from lmcompress.gpt.cuda.numerators import DeviceNumerators
from lmcompress.gpt.numerators import ReferenceNumerators
from lmcompress.gpt.tables import exp2_table

UNIT = 64.0
"""Logits are multiples of its inverse, as sums of integers are of their scale."""
TABLE = exp2_table(constants.LOGIT_SCALE_BITS).astype(np.int32)
SCALES = {"flat": 0.0, "usual": 3.0, "sharp": 30.0, "extreme": 3000.0}


def fast_numerators(order: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Returns the differences of the kernel's prefix sums; logits are integers, or as good as."""
    whole, (rows, vocab_size) = np.rint(logits * UNIT).astype(np.int32), logits.shape
    symbols = np.minimum(order, vocab_size).astype(np.uint32)
    scales = np.full(rows, 1 / UNIT, np.float32), np.ones(vocab_size, np.float32)
    out = np.empty((1, rows, len(order) + 1), np.int64)
    sums_from_logits(whole, *scales, symbols, TABLE, rows, out)
    return np.diff(out[0], axis=1)


def random_logits(scale: float, vocab_size: int, rows: int = 20) -> np.ndarray:
    generator = np.random.default_rng(vocab_size)
    logits = (scale * generator.standard_normal((rows, vocab_size))).astype(np.float32)
    logits -= generator.integers(0, 40, (rows, 1)).astype(np.float32)
    return np.rint(logits * UNIT).astype(np.float32) / np.float32(UNIT)


def random_order(vocab_size: int) -> np.ndarray:
    """Returns most tokens, in another order, and bytes that are no tokens among them."""
    generator = np.random.default_rng(1)
    chosen = generator.permutation(vocab_size + 256)[: max(2, vocab_size - 10)]
    return np.append(chosen, generator.integers(vocab_size)).astype(np.int32)


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES.keys())
@pytest.mark.parametrize("vocab_size", [2, 256, 257, 1000, 5120])
def test_implementations_equal_the_definition(vocab_size: int, scale: float) -> None:
    logits, order = random_logits(scale, vocab_size), random_order(vocab_size)

    expected = ReferenceNumerators(order)(logits)

    on_device = DeviceNumerators(order, vocab_size, "cpu")
    assert np.array_equal(fast_numerators(order, logits), expected)
    assert np.array_equal(on_device(torch.from_numpy(logits)).numpy(), expected)


def test_numerators_are_those_of_a_softmax() -> None:
    logits, order = random_logits(3.0, 1000), np.arange(1000, dtype=np.int32)[::-1].copy()

    numerators = fast_numerators(order, logits).astype(np.float64)

    expected = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()[:, ::-1]
    found = numerators / numerators.sum(axis=1, keepdims=True)
    assert np.allclose(found, expected, rtol=0.004, atol=1e-8)
    assert (numerators.max(axis=1) == 1 << 30).all()


def test_bytes_that_are_no_tokens_have_no_share() -> None:
    logits, order = random_logits(3.0, 100), np.array([5, 103, 7, 355], np.int32)

    assert (fast_numerators(order, logits)[:, [1, 3]] == 0).all()
