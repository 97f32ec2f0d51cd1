"""The published GPTs by name, as configurations, and what a configuration costs.

GPT-1: Radford et al. (2018), size of the released vocabulary. GPT-2: Radford et al. (2019), table
2; its parameter counts are misprinted there (see `PRINTED_PARAMETERS`). GPT-3: Brown et al. (2020),
table 2.1. The three small byte-level Transformers: Delétang et al. (2024); their sizes are in the
issues of the paper's repository, and the linear layers without biases are our choice.

Two of GPT-3's rows cannot be meant as printed. XL has 24 heads of 128 channels and a width of
2,048, which would give 1.5 billion parameters, not 1.3: we take 16 heads. 13B has a width of 5,140
and 40 heads of 128 channels: we take 5,120. The paper says that its locally banded layers
alternate with dense ones, but not how wide the band is: we take an eighth of the context.
"""

from __future__ import annotations

from typing import Any

from lmcompress.errors import ModelNotFoundError, did_you_mean
from lmcompress.gpt.config import GPTConfig

BPE_BYTES_PER_TOKEN = 4.0
"""Bytes of English text per token of GPT-2's vocabulary: a rough assumption."""
BAND_SHARE = 8
"""GPT-3's banded layers see this fraction of the context: ours, the paper gives no number."""

_BYTES = 256
_BPE_40K = 40_478
_BPE_50K = 50_257
_GPT: dict[str, Any] = {
    "norm": "layernorm", "positions": "learned", "activation": "gelu", "bias": True, "tied": True,
}  # fmt: skip


def _gpt2(n_layer: int, n_embd: int, n_head: int) -> GPTConfig:
    return GPTConfig(
        vocab_size=_BPE_50K, n_layer=n_layer, n_embd=n_embd, n_head=n_head, context_length=1024,
        **_GPT,
    )  # fmt: skip


def _gpt3(n_layer: int, n_embd: int, n_head: int) -> GPTConfig:
    context = 2048
    return GPTConfig(
        vocab_size=_BPE_50K, n_layer=n_layer, n_embd=n_embd, n_head=n_head, context_length=context,
        attention_windows=(0, context // BAND_SHARE) * (n_layer // 2), **_GPT,
    )  # fmt: skip


def _deletang(n_embd: int, n_head: int) -> GPTConfig:
    return GPTConfig(n_embd=n_embd, n_head=n_head, context_length=2048, norm="layernorm")


PRESETS: dict[str, GPTConfig] = {
    "gpt1": GPTConfig(
        vocab_size=_BPE_40K, n_layer=12, n_embd=768, n_head=12, context_length=512,
        norm_position="post", **_GPT,
    ),
    "gpt2-small": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
    "gpt3-125m": _gpt3(12, 768, 12),
    "gpt3-350m": _gpt3(24, 1024, 16),
    "gpt3-760m": _gpt3(24, 1536, 16),
    "gpt3-1.3b": _gpt3(24, 2048, 16),
    "gpt3-2.7b": _gpt3(32, 2560, 32),
    "gpt3-6.7b": _gpt3(32, 4096, 32),
    "gpt3-13b": _gpt3(40, 5120, 40),
    "gpt3-175b": _gpt3(96, 12288, 96),
    "deletang-200k": _deletang(64, 4),
    "deletang-800k": _deletang(128, 4),
    "deletang-3.2m": _deletang(256, 8),
}  # fmt: skip

PRINTED_PARAMETERS: dict[str, float] = {
    "gpt2-small": 117e6, "gpt2-medium": 345e6, "gpt2-large": 762e6, "gpt2-xl": 1542e6,
    "gpt3-125m": 125e6, "gpt3-350m": 350e6, "gpt3-760m": 760e6, "gpt3-1.3b": 1.3e9,
    "gpt3-2.7b": 2.7e9, "gpt3-6.7b": 6.7e9, "gpt3-13b": 13e9, "gpt3-175b": 175e9,
    "deletang-200k": 2e5, "deletang-800k": 8e5, "deletang-3.2m": 3.2e6,
}  # fmt: skip
"""Published: what the papers' tables say. GPT-2's authors later called their counts wrong and named
the models 124M, 355M, 774M and 1.5B, which is what the shapes give. GPT-1's paper has none."""


def preset(name: str) -> GPTConfig:
    """Returns a published configuration.

    Raises:
      ModelNotFoundError: If there is none of that name; the message lists the known ones.
    """
    if name in PRESETS:
        return PRESETS[name]
    hint = did_you_mean(name, PRESETS)
    raise ModelNotFoundError(f"no preset {name!r}: {hint}known are {', '.join(PRESETS)}")


def describe_preset(name: str, bpe_bytes_per_token: float = BPE_BYTES_PER_TOKEN) -> dict[str, Any]:
    """Returns parameters by part and FLOPs of a forward pass, JSON-ready.

    Args:
      name: A name in `PRESETS`.
      bpe_bytes_per_token: Bytes that a token stands for, where tokens are not bytes.

    Raises:
      ModelNotFoundError: If there is no such preset.
      ValueError: If a token would stand for less than a byte.
    """
    config = preset(name)
    if not bpe_bytes_per_token >= 1:
        raise ValueError(f"bytes per token is {bpe_bytes_per_token:g}, expected 1 or more")
    bytes_per_token = 1.0 if config.vocab_size == _BYTES else bpe_bytes_per_token
    return {
        "name": name,
        "num_parameters": config.num_parameters,
        "num_parameters_by_part": config.num_parameters_by_part,
        "published_num_parameters": PRINTED_PARAMETERS.get(name),
        "flops_per_token": config.flops_per_token,
        "bytes_per_token": bytes_per_token,
        "flops_per_byte": config.flops_per_token / bytes_per_token,
        "config": config.to_dict(),
    }
