"""Optimisers of a training run and their schedule."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lmcompress.gpt.network import GPT
from lmcompress.training.config import TrainConfig
from lmcompress.training.muon import Float32Muon


def learning_rate_scale(config: TrainConfig, step: int) -> float:
    """Returns the factor on the peak learning rate: linear warm-up, then cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    span = max(1, config.num_steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * (step - config.warmup_steps) / span))
    return config.final_lr_fraction + (1 - config.final_lr_fraction) * cosine


def optimizers_of(config: TrainConfig, network: GPT, precision: str) -> list[torch.optim.Optimizer]:
    """Returns AdamW and, where asked for, Muon for the matrices inside the blocks.

    Each group keeps its peak learning rate as `base_lr`.
    """
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim == 2 and name.startswith("blocks.")
        (matrices if is_matrix and config.optimizer == "muon" else rest).append(parameter)
    decayed = [p for p in rest if p.ndim >= 2]
    plain = [p for p in rest if p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=config.learning_rate,
        betas=(0.9, config.adam_beta2),
        fused=True,
    )
    optimizers: list[torch.optim.Optimizer] = [adamw]
    if matrices:
        muon = torch.optim.Muon if precision == "bfloat16" else Float32Muon
        optimizers.append(
            muon(
                matrices,
                lr=config.muon_learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers
