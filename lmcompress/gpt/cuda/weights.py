"""A model's arrays on the device, as the Triton kernels take them."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
from torch import Tensor

from lmcompress.gpt import constants
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.gpt.tables import exp2_table

MAX_WIDTH = 16384
"""Longest row that one program holds."""
MAX_HEAD_DIM = 256
MAX_GROUP = 64
MAX_ACTIVATION_BITS = 14
"""Two int8 digits to base 128."""


def not_covered(config: GPTConfig) -> str | None:
    """Returns why the kernels cannot run a configuration, or None if they can."""
    group = config.n_head // config.n_kv_head
    for name, value, most in (
        ("n_embd", config.n_embd, MAX_WIDTH),
        ("mlp_hidden", config.mlp_hidden, MAX_WIDTH),
        ("n_head * head_dim", config.n_head * config.head_dim, MAX_WIDTH),
        ("head_dim", config.head_dim, MAX_HEAD_DIM),
        ("n_head / n_kv_head", group, MAX_GROUP),
        ("activation_bits", config.activation_bits, MAX_ACTIVATION_BITS),
    ):
        if value > most:
            return f"{name} is {value}, the kernels take {most} at most"
    for name, is_on in (
        ("parallel_residual", config.parallel_residual),
        ("qk_norm_gain", config.qk_norm_gain),
        ("rotary_dim", config.rotary_width != config.head_dim),
        ("activation gelu_erf", config.activation == "gelu_erf"),
    ):
        if is_on:
            return f"{name} has no kernel"
    return "head_dim is odd" if config.head_dim % 2 else None


class DeviceLinear:
    """Weights of one product on the device."""

    def __init__(self, weights: ExactWeights, name: str, device: torch.device) -> None:
        q, scale, bias = weights.linear(name)
        self.width, self.depth = q.shape
        self.weight = torch.tensor(q, device=device)
        self.scale = torch.tensor(scale, device=device)
        self.has_bias = bias is not None
        self.bias = self.scale if bias is None else torch.tensor(bias, device=device)


class CudaModel:
    """A quantized GPT on the device, ready for the kernels."""

    def __init__(self, weights: ExactWeights, device: str = "cuda") -> None:
        config = weights.config
        self.weights, self.config, self.device = weights, config, torch.device(device)
        linear = functools.partial(DeviceLinear, weights, device=self.device)
        names = ("qkv", "proj", "up", "down")
        self.layers = [
            {name: linear(f"blocks.{i}.{name}") for name in names} for i in range(config.n_layer)
        ]
        self.output = linear("token_embedding" if config.tied else "output")
        self.digits = 1 if config.activation_bits == 8 else 2
        levels = config.activation_levels
        self.levels = {
            "LEVELS": float(levels),
            "PER_LEVEL": constants.as_float32(1 / levels),
        }
        """Of activations, as the kernels that quantize take them."""
        self.windows = [window or config.context_length for window in config.attention_windows]
        self.tokens = linear("token_embedding")
        learned = config.positions == "learned"
        self.positions = linear("position_embedding") if learned else self.tokens
        self.ngrams = linear("ngram_embedding") if config.ngram_orders else self.tokens
        empty = self.vector(np.zeros((1, 1), np.float32))
        rotary = weights.rotary()
        self.rotary = (empty, empty) if rotary is None else tuple(map(self.vector, rotary))
        self.attention_table, self.logit_table = (
            self.vector(exp2_table(bits).astype(np.int32))
            for bits in (constants.ATTENTION_SCALE_BITS, constants.LOGIT_SCALE_BITS)
        )
        self.eps_sum, self.head_eps_sum = (
            self.vector(np.array([config.norm_eps * width]))
            for width in (config.n_embd, config.head_dim)
        )
        self.norms = [self._norm(name) for name in self.config.norm_names]
        self.faults: dict[tuple[int, int], str] = {}
        """Why engines of so many lanes and steps cannot be used, "" if they can."""

    def vector(self, array: npt.NDArray[Any]) -> Tensor:
        """Returns a copy of an array on the device."""
        return torch.tensor(array, device=self.device)

    def _norm(self, name: str) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Returns (gain, bias, constants) as the kernels `embed` and `add` take them."""
        config, arrays = self.config, self.weights.arrays
        gain, bias = arrays.get(f"{name}.gain"), arrays.get(f"{name}.bias")
        constants = {
            "BLOCK": triton.next_power_of_2(config.n_embd),
            **self.levels,
            "NORM": bool(name),
            "CENTRED": config.norm == "layernorm",
            "POST": bool(name) and config.norm_position == "post",
            "HAS_GAIN": gain is not None,
            "HAS_BIAS": bias is not None,
            "NUMERATOR": norm_numerator(config.n_embd),
        }
        absent = self.tokens.scale
        vectors = (absent if array is None else self.vector(array) for array in (gain, bias))
        return *vectors, constants  # type: ignore[return-value]


def norm_numerator(width: int) -> float:
    """Returns the square root of a norm's width, on the scale of its integer root."""
    return constants.as_float32(math.sqrt(width) * 2 ** (constants.NORM_SHIFT / 2))
