"""Training under rounding sees what exact evaluation makes of a network, and descends as if not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.support.quantized_training import QuantizedTrainer, Rounding, rounded
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import quantize_network
from lmcompress.gpt.reference import ExactGPT
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer

MODEL = GPTConfig(n_layer=2, n_embd=64, n_head=2, context_length=32)


def test_rows_lie_on_grids_of_their_own() -> None:
    x = (
        torch.randn(5, 64, generator=torch.Generator().manual_seed(1))
        * 10.0 ** torch.arange(5)[:, None]
    )
    levels = rounded(x) * 127 / x.abs().amax(-1, keepdim=True)

    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert levels.abs().amax(-1).tolist() == pytest.approx([127] * 5)
    assert ((rounded(x) - x).abs() <= 0.5001 / 127 * x.abs().amax(-1, keepdim=True)).all()


def test_zeros_stay_zeros() -> None:
    assert rounded(torch.zeros(2, 8)).tolist() == torch.zeros(2, 8).tolist()


def test_gradients_pass_as_if_nothing_was_rounded() -> None:
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
    slopes = torch.arange(48.0).view(3, 16)
    (rounded(x) * slopes).sum().backward()

    assert x.grad is not None
    assert torch.equal(x.grad, slopes)


def test_rounding_is_on_only_inside() -> None:
    x, weight = torch.randn(2, 8), torch.randn(4, 8)
    with Rounding():
        inside = F.linear(x, weight)

    assert torch.equal(inside, F.linear(rounded(x), rounded(weight)))
    assert not torch.equal(inside, F.linear(x, weight))


def error(logits: Tensor, exact: Tensor) -> float:
    return (logits - exact).square().mean().item()


def test_it_is_nearer_to_exact_evaluation_than_floats_are() -> None:
    torch.manual_seed(1)
    network = GPT(MODEL)
    for parameter in network.parameters():
        parameter.data *= 2  # initial weights say too little for errors to be seen
    tokens = torch.randint(0, 256, (8, 32))
    exact = ExactGPT(quantize_network(network)).logits(tokens)

    with torch.no_grad(), Rounding():
        under_rounding = error(network(tokens), exact)
    with torch.no_grad():
        assert under_rounding < error(network(tokens), exact) / 2


def mean_of(figures: dict[str, Any]) -> float:
    return figures["validation_bits_per_byte"]["mean"]


def test_it_trains_rounded_and_validates_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"It was the best of times, it was the worst of times.\n" * 80)
    config = TrainConfig(
        name="rounded", sources={str(tmp_path / "text"): 1.0}, model=MODEL, total_bytes=8 * 64,
        batch_size=2, sequence_length=32, holdout_bytes=256, optimizer="adamw", warmup_steps=1,
    )  # fmt: skip
    plain = Trainer(config, tmp_path / "plain", "cpu")
    quantized = QuantizedTrainer(config, tmp_path / "quantized", "cpu")

    assert quantized.validate() == plain.validate()
    assert quantized._train_step(0) == pytest.approx(plain._train_step(0), rel=1e-3)
    assert quantized._train_step(1) != plain._train_step(1)
    before, after = quantized.validate(), quantized.run()
    assert mean_of(after) < mean_of(before)
    assert Trainer(config, tmp_path / "quantized", "cpu").validate() == after
