"""The float network of all families: an optional encoder, and a stack that is told who sees whom.

Made like the networks of `lmcompress/gpt/network.py` (RMSNorm without gains, normalized queries and
keys, squared ReLU, rotary positions), so that the families differ in what they see and in nothing
else. Shapes: B windows, T positions, S positions that are seen, H heads, D channels of a head.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.support.families.layout import (
    CONTEXT,
    NOTHING,
    WINDOW,
    Family,
    Reading,
    everyone,
)
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import MLP
from lmcompress.gpt.quantization import ROTARY_BITS
from lmcompress.gpt.tables import rotary_tables


@functools.cache
def rotary(config: GPTConfig) -> tuple[Tensor, Tensor]:
    """Returns cosines and sines of the positions of a window, float32 (WINDOW, D / 2)."""
    tables = rotary_tables(config.rotary_base, config.head_dim // 2, WINDOW, ROTARY_BITS)
    cos, sin = (torch.from_numpy(table).float() * 2.0**-ROTARY_BITS for table in tables)
    return cos, sin


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates channel pairs (i, i + D/2) of x (B, H, T, D); cos, sin: (T, D / 2)."""
    x1, x2 = x.chunk(2, dim=-1)
    return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1)


class Attention(nn.Module):
    """Attention from x to itself, or to what an encoder made."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config, width = config, config.n_embd
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, at: Tensor, other: Tensor, there: Tensor, seen: Tensor) -> Tensor:
        """Returns (B, T, C) for x (B, T, C) at positions (T,), of what is seen (T, S) of other."""
        q = self._heads(self.query(x))
        k, v = self._heads(self.key_value(other)).chunk(2, dim=1)
        cos, sin = rotary(self.config)
        q, k = (F.rms_norm(y, y.shape[-1:], eps=self.config.norm_eps) for y in (q, k))
        q, k = rotate(q, cos[at], sin[at]), rotate(k, cos[there], sin[there])
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.proj(y.transpose(1, 2).flatten(-2))

    def _heads(self, y: Tensor) -> Tensor:
        return y.unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)


class Block(nn.Module):
    """Attention, cross attention if there is an encoder, and an MLP, each with its norm before."""

    def __init__(self, config: GPTConfig, *, has_cross: bool) -> None:
        super().__init__()
        self.config = config
        self.attention = Attention(config)
        self.cross = Attention(config) if has_cross else None
        self.mlp = MLP(config)

    def forward(self, x: Tensor, at: Tensor, seen: Tensor, encoded: Tensor | None = None) -> Tensor:
        """Returns (B, T, C) for x (B, T, C) at positions (T,), of which each sees (T, T)."""
        y = self._norm(x)
        x = x + self.attention(y, at, y, at, seen)
        if self.cross is not None and encoded is not None:
            there = torch.arange(encoded.shape[1])
            seen = everyone(len(at), len(there))
            x = x + self.cross(self._norm(x), at, encoded, there, seen)
        return x + self.mlp(self._norm(x))

    def _norm(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], eps=self.config.norm_eps)


class Network(nn.Module):
    """A network of a family."""

    def __init__(self, config: GPTConfig, family: Family) -> None:
        super().__init__()
        self.config, self.family = config, family
        has_cross = family.encoder_layers > 0
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleDict(
            {
                "encoder": _stack(config, family.encoder_layers, has_cross=False),
                "decoder": _stack(config, family.layers, has_cross=has_cross),
            }
        )
        self.output = nn.Linear(config.n_embd, NOTHING, bias=False)
        for name, parameter in self.named_parameters():
            residual = name.endswith(("proj.weight", "down.weight"))
            scale = math.sqrt(2 * config.n_layer) if residual else 1
            nn.init.normal_(parameter, std=0.02 / scale)

    def forward(self, reading: Reading) -> Tensor:
        """Returns logits of the bytes, float32 (B, R, 256)."""
        encoded = None
        if reading.encoder_tokens is not None:
            at = torch.arange(CONTEXT)
            encoded = self.embedding(reading.encoder_tokens)
            for block in self._stack("encoder"):
                encoded = block(encoded, at, everyone(CONTEXT))
            encoded = F.rms_norm(encoded, encoded.shape[-1:], eps=self.config.norm_eps)
        x = self.embedding(reading.tokens)
        for block in self._stack("decoder"):
            x = block(x, reading.positions, reading.seen, encoded)
        x = x[:, reading.rows]
        return self.output(F.rms_norm(x, x.shape[-1:], eps=self.config.norm_eps)).float()

    def _stack(self, name: str) -> Any:
        return self.blocks[name]


def _stack(config: GPTConfig, layers: int, *, has_cross: bool) -> nn.ModuleList:
    return nn.ModuleList(Block(config, has_cross=has_cross) for _ in range(layers))
