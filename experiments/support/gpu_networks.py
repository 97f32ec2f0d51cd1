"""Networks of the default's shape, with random weights, on which a GPU is timed."""

from __future__ import annotations

from typing import Any

import numpy as np

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.quantization import ExactWeights, expected_arrays

_STREAM: dict[str, Any] = {
    "context_length": 1024, "rotary_period": 2048, "activation": "relu2", "qk_norm": True,
    "norm_gain": False,
}  # fmt: skip


def _banded(n_layer: int, n_embd: int, *windows: int) -> GPTConfig:
    bands = windows or (512,) * n_layer
    return GPTConfig(
        n_layer=n_layer, n_embd=n_embd, n_head=n_embd // 64, attention_windows=bands, **_STREAM
    )


NETWORKS = {
    "default": _banded(4, 256, 64, 128, 256, 512),
    "6M": _banded(5, 320),
    "12M": _banded(7, 384),
    "25M": _banded(8, 512),
    "50M": _banded(10, 640),
    "135M": _banded(19, 768),
    "135M, 49,152 symbols": GPTConfig(
        vocab_size=49_152, n_layer=30, n_head=9, n_kv_head=3, n_embd=576, mlp_hidden=1536,
        context_length=1024, attention_windows=(512,) * 30, rotary_period=2048,
        activation="swiglu", tied=True,
    ),
}  # fmt: skip


def random_exact(config: GPTConfig) -> ExactWeights:
    """Returns random exact weights, without the float network."""
    rng, arrays = np.random.default_rng(0), {}
    for name, (dtype, shape) in expected_arrays(config).items():
        if dtype == "float32":
            arrays[name] = np.full(shape, 1.0 if name.endswith("gain") else 2e-3, np.float32)
        else:
            arrays[name] = rng.integers(-127, 128, shape).astype(dtype)
    return ExactWeights(config, arrays)


def product_shapes(config: GPTConfig) -> list[tuple[int, int]]:
    """Returns (width, depth) of each product of a pass; a tied output layer is one too."""
    q, kv = config.n_head * config.head_dim, config.n_kv_head * config.head_dim
    up = config.mlp_hidden * (2 if config.activation == "swiglu" else 1)
    d = config.n_embd
    layer = [(q + 2 * kv, d), (d, q), (up, d), (d, config.mlp_hidden)]
    return layer * config.n_layer + [(config.vocab_size, d)]
