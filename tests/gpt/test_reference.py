"""The parts of the exact reference, against real arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lmcompress.gpt import reference
from lmcompress.gpt.reference_engine import TorchEngine
from tests.support.exactness import CONFIGS, random_tokens, random_weights


def test_quantize_keeps_the_largest_and_rounds_the_rest() -> None:
    x = torch.tensor([[-2.0, 1.0, 0.0, 0.004]])

    q, scale = reference.quantize(x)

    assert q.tolist() == [[-127.0, 64.0, 0.0, 0.0]]  # 63.5 rounds to even
    assert scale.item() == pytest.approx(2 / 127)


def test_quantize_of_zeros_is_zero() -> None:
    q, scale = reference.quantize(torch.zeros(2, 8))

    assert not q.any()
    assert torch.isfinite(scale).all()


@pytest.mark.parametrize("around", [0, 1, 2, 3, 10**6, 2**31, 2**52, 2**53 + 1, 2**61 + 12345])
def test_integer_sqrt_is_the_floor_of_the_root(around: int) -> None:
    root = math.isqrt(around)
    numbers = [max(0, n) for n in (around, root * root - 1, root * root, root * root + 1)]

    found = reference.integer_sqrt(torch.tensor(numbers))

    assert found.tolist() == [math.isqrt(n) for n in numbers]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("centred", [False, True], ids=["rms", "layer"])
def test_integer_norm_is_close_to_the_float_norm(scale: float, centred: bool) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(0.5, scale, (16, 96))).float()

    found = reference.integer_norm(x, 1e-5, centred=centred)

    norm = F.layer_norm if centred else F.rms_norm
    expected = norm(x.double(), (96,), eps=1e-5)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=5e-4)


def test_norm_of_zeros_is_zero() -> None:
    assert not reference.integer_norm(torch.zeros(2, 8), 1e-5, centred=True).any()


def test_activations_are_close_to_the_float_ones() -> None:
    x = torch.linspace(-30, 30, 4001)

    torch.testing.assert_close(reference.sigmoid(x), torch.sigmoid(x), rtol=5e-4, atol=1e-9)
    torch.testing.assert_close(
        reference.gelu(x), F.gelu(x, approximate="tanh"), rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(reference.gelu_erf(x), F.gelu(x), rtol=1e-5, atol=2e-6)


def test_integer_softmax_sums_to_the_budget_on_awkward_logits() -> None:
    rows = torch.zeros(6, 256)
    rows[1, 3] = 1e30
    rows[2, :] = -1e30
    rows[3, 5:9] = 20.0  # a tie: the first takes the remainder
    rows[4] = torch.linspace(-50, 50, 256)
    rows[5, 0] = 1e-40

    weights = reference.integer_softmax(rows)

    assert (weights.sum(-1) == (1 << 24) - 256).all()
    assert (weights >= 0).all()
    assert weights[3].argmax() == 5
    assert weights[1, 3] == (1 << 24) - 256


def test_integer_softmax_is_close_to_softmax() -> None:
    logits = torch.from_numpy(np.random.default_rng(1).normal(0, 4, (64, 256))).float()

    freqs = (1 + reference.integer_softmax(logits)).double() / 2**24

    probs = torch.softmax(logits.double(), -1)
    loss_bits = (probs * (probs.log2() - freqs.log2())).sum(-1)
    assert loss_bits.max() < 1e-4


@pytest.mark.parametrize("name", CONFIGS)
def test_a_later_token_leaves_earlier_weights_alone(name: str) -> None:
    model, tokens = random_weights(name), random_tokens(2)
    changed = tokens.copy()
    changed[:, 30] ^= 1

    before = TorchEngine(model, "cpu").predict(tokens)
    after = TorchEngine(model, "cpu").predict(changed)

    assert np.array_equal(before[:30], after[:30])
    assert not np.array_equal(before[30], after[30])


def test_a_band_hides_what_lies_before_it() -> None:
    model, tokens = random_weights("default-like"), random_tokens(1)
    changed = tokens.copy()
    changed[:, 0] ^= 1  # windows 8 and 16: position 0 is seen up to position 7 + 15

    before = TorchEngine(model, "cpu").predict(tokens)
    after = TorchEngine(model, "cpu").predict(changed)

    assert np.array_equal(before[23:], after[23:])
    assert not np.array_equal(before[22], after[22])


@pytest.mark.parametrize("wrong", [True, False], ids=["wrong", "right"])
def test_int8_product_self_test_finds_a_wrong_product(
    wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 2**22 if wrong else 2**31 - 1
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: (a.long() @ b.long()).clamp(max=most))
    reference.int8_product_is_usable.cache_clear()
    try:
        assert reference.int8_product_is_usable() is not wrong
    finally:
        monkeypatch.undo()
        reference.int8_product_is_usable.cache_clear()


def test_int8_products_are_left_alone_where_they_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    reference.int8_product_is_usable.cache_clear()
    try:
        assert not reference.int8_product_is_usable()
    finally:
        reference.int8_product_is_usable.cache_clear()
