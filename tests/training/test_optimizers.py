"""Which parameters decay; Muon in float32: torch.optim.Muon's updates up to bfloat16's rounding."""

from __future__ import annotations

import copy

import pytest
import torch

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.training.config import TrainConfig
from lmcompress.training.optimizers import Float32Muon, optimizers_of, orthogonalized

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
OPTIONS = {"lr": 0.01, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_only_matrices_and_tables_decay(optimizer: str) -> None:
    shape = GPTConfig(n_layer=1, n_embd=64, n_head=1, bias=True, norm="layernorm")
    config = TrainConfig("run", shape, {"text": 1.0}, optimizer=optimizer, weight_decay=0.25)
    network = GPT(shape)
    names = {parameter: name for name, parameter in network.named_parameters()}

    groups = [g for o in optimizers_of(config, network, "float32") for g in o.param_groups]

    decays = {names[p]: group["weight_decay"] for group in groups for p in group["params"]}
    assert decays.keys() == set(names.values())
    for name, decay in decays.items():
        is_norm_or_bias = "norm" in name or name.endswith(".bias")
        assert decay == (0.0 if is_norm_or_bias else 0.25), name


@pytest.mark.parametrize("shape", [(40, 64), (32, 128), (128, 32)])
def test_singular_values_end_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    update = orthogonalized(torch.randn(shape), COEFFICIENTS, 5)
    values = torch.linalg.svdvals(update)
    assert update.shape == shape
    assert update.dtype == torch.float32
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_a_gradient_of_zeros_moves_nothing() -> None:
    assert not orthogonalized(torch.zeros(8, 16), COEFFICIENTS, 5).any()


def parameter_after(
    optimizer: type[torch.optim.Muon], num_steps: int, state: dict[str, object] | None = None
) -> tuple[torch.Tensor, dict[str, object]]:
    """Returns a matrix that an optimizer has moved along known gradients, and its state."""
    torch.manual_seed(1)
    parameter = torch.nn.Parameter(torch.randn(48, 96))
    muon = optimizer([parameter], **OPTIONS)
    if state:
        muon.load_state_dict(copy.deepcopy(state))
    for _ in range(num_steps):
        parameter.grad = torch.randn(48, 96)
        muon.step()
    return parameter.detach(), muon.state_dict()


def test_moves_as_torch_does_up_to_rounding() -> None:
    ours, _ = parameter_after(Float32Muon, 4)
    theirs, _ = parameter_after(torch.optim.Muon, 4)
    start, _ = parameter_after(Float32Muon, 0)
    assert (ours - theirs).norm() < 0.02 * (theirs - start).norm()


def test_a_run_goes_on_from_torchs_state() -> None:
    _, state = parameter_after(torch.optim.Muon, 4)
    ours, _ = parameter_after(Float32Muon, 4, state)
    theirs, _ = parameter_after(torch.optim.Muon, 4, state)
    fresh, _ = parameter_after(Float32Muon, 4)
    assert (ours - theirs).norm() < 0.1 * (ours - fresh).norm()
