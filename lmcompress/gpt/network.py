"""The float GPT, for training and scoring.

A single file, in the manner of nanoGPT. `reference.py` evaluates the same network with integer
reductions; the two agree up to quantization.

Shapes: B sequences, T tokens, H heads, D channels of a head.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.ngrams import ngram_rows


def rotary_angles(config: GPTConfig, num_positions: int) -> Tensor:
    """Returns rotation angles, float64 (num_positions, rotary_width / 2) (Su et al., 2021).

    With `rotary_period` P the frequencies are whole multiples of 2 pi / P, geometrically spaced
    from about one radian a token down to one turn in P tokens, so that position P equals position 0
    and a stream may run on without end.
    """
    half = config.rotary_width // 2
    exponents = torch.arange(half, dtype=torch.float64) / half
    if config.rotary_period:
        unit = 2 * math.pi / config.rotary_period
        exponents = torch.arange(half, dtype=torch.float64) / max(half - 1, 1)
        frequencies = unit * torch.round((1 / unit) ** (1 - exponents))
    else:
        frequencies = config.rotary_base**-exponents
    return torch.arange(num_positions, dtype=torch.float64)[:, None] * frequencies


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates channel pairs (i, i + R/2) of x (B, H, T, D), i < R/2, leaves channels from R alone.

    cos, sin: (T, R/2).
    """
    half = cos.shape[-1]
    x1, x2, rest = x.split((half, half, x.shape[-1] - 2 * half), dim=-1)
    return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin, rest), dim=-1)


def _banded_attention(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    """Causal attention over the last `window` tokens; cost linear in T.

    Queries are cut into blocks of `window`; each block sees itself and the block before it. The
    blocks are copied next to each other: the backward pass of overlapping views is far slower.
    """
    B, H, T, D = q.shape
    blocks = -(-T // window)
    pad = blocks * window - T
    q, k, v = (F.pad(x, (0, 0, 0, pad)) for x in (q, k, v))
    q, k, v = (x.view(B, H, blocks, window, D) for x in (q, k, v))
    k, v = (torch.cat((F.pad(x[:, :, :-1], (0, 0, 0, 0, 1, 0)), x), dim=3) for x in (k, v))
    row = torch.arange(window, device=q.device)[:, None]
    col = torch.arange(2 * window, device=q.device)
    band = (col > row) & (col <= row + window)  # (window, 2 window)
    first = band & (col >= window)  # the padding before position 0 is not seen
    mask = torch.stack([first] + [band] * (blocks - 1))  # (blocks, window, 2 window)
    q, k, v = (x.reshape(B * H, blocks, -1, D) for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return y.reshape(B, H, blocks * window, D)[:, :, :T]


def _norm(config: GPTConfig) -> nn.Module:
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, config.norm_eps, elementwise_affine=config.norm_gain)
    return nn.LayerNorm(config.n_embd, config.norm_eps, elementwise_affine=config.norm_gain)


class Attention(nn.Module):
    """Causal self-attention, full or locally banded."""

    def __init__(self, config: GPTConfig, window: int) -> None:
        super().__init__()
        self.config, self.window = config, window
        self.q_width = config.n_head * config.head_dim
        self.kv_width = config.n_kv_head * config.head_dim
        qkv_width = self.q_width + 2 * self.kv_width
        self.qkv = nn.Linear(config.n_embd, qkv_width, bias=config.has_qkv_bias)
        if config.qk_norm_gain:
            self.q_norm, self.k_norm = (
                nn.RMSNorm(config.head_dim, config.norm_eps) for _ in range(2)
            )
        self.proj = nn.Linear(self.q_width, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        B, T, _ = x.shape
        config = self.config
        q, k, v = self.qkv(x).split((self.q_width, self.kv_width, self.kv_width), dim=-1)
        q, k, v = (y.view(B, T, -1, config.head_dim).transpose(1, 2) for y in (q, k, v))
        if config.qk_norm_gain:
            q, k = self.q_norm(q), self.k_norm(k)
        elif config.qk_norm:
            q, k = (F.rms_norm(y, (config.head_dim,), eps=config.norm_eps) for y in (q, k))
        if rotary is not None:
            q, k = (_rotate(y, *rotary).to(v.dtype) for y in (q, k))
        if config.n_kv_head != config.n_head:
            k, v = (y.repeat_interleave(config.n_head // config.n_kv_head, dim=1) for y in (k, v))
        if self.window and self.window < T:
            y = _banded_attention(q, k, v, self.window)
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(B, T, self.q_width))


class MLP(nn.Module):
    """Two linear layers around GELU, squared ReLU (So et al., 2021) or gated SiLU."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.activation = config.activation
        up = config.mlp_hidden * (2 if config.activation == "swiglu" else 1)
        self.up = nn.Linear(config.n_embd, up, bias=config.bias)
        self.down = nn.Linear(config.mlp_hidden, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        if self.activation == "relu2":
            h = F.relu(h).square()
        elif self.activation == "gelu":
            h = F.gelu(h, approximate="tanh")
        elif self.activation == "gelu_erf":
            h = F.gelu(h)
        else:
            gate, value = h.chunk(2, dim=-1)
            h = F.silu(gate) * value
        return self.down(h)


class Block(nn.Module):
    """Attention and MLP with their residual connections, pre- or post-norm."""

    def __init__(self, config: GPTConfig, window: int) -> None:
        super().__init__()
        self.is_pre_norm = config.norm_position == "pre"
        self.is_parallel = config.parallel_residual
        self.norm_1, self.attention = _norm(config), Attention(config, window)
        self.norm_2, self.mlp = _norm(config), MLP(config)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        if self.is_parallel:
            return x + self.attention(self.norm_1(x), rotary) + self.mlp(self.norm_2(x))
        if self.is_pre_norm:
            x = x + self.attention(self.norm_1(x), rotary)
            return x + self.mlp(self.norm_2(x))
        x = self.norm_1(x + self.attention(x, rotary))
        return self.norm_2(x + self.mlp(x))


class GPT(nn.Module):
    """A decoder-only Transformer: tokens (B, T) in, logits (B, T, vocab_size) out."""

    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.context_length, config.n_embd)
        if config.ngram_orders:
            self.ngram_embedding = nn.Embedding(*config.ngram_shape)
        self.blocks = nn.ModuleList(Block(config, w) for w in config.attention_windows)
        self.final_norm = _norm(config) if config.norm_position == "pre" else nn.Identity()
        self.output = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tied:
            self.output.weight = self.token_embedding.weight
        self.apply(self._init)
        if config.positions != "learned":
            angles = rotary_angles(config, config.context_length)  # (positions, R / 2)
            self.register_buffer("rotary_cos", angles.cos().float(), persistent=False)
            self.register_buffer("rotary_sin", angles.sin().float(), persistent=False)
        for name, parameter in self.named_parameters():
            # As GPT-2 does, so that the residual sum keeps its size.
            if name.endswith(("proj.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layer))

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def ngrams(self, tokens: Tensor) -> Tensor:
        """Returns what n-grams that end at tokens (B, T) add to their embeddings, (B, T, C)."""
        orders, bits = self.config.ngram_orders, self.config.ngram_bits
        padded = F.pad(tokens, (orders[-1] - 1, 0), value=self.config.bos_id)
        rows = torch.stack(ngram_rows(padded, orders, bits), dim=-1)
        return self.ngram_embedding(rows).flatten(-2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns next-token logits, float32 (B, T, vocab_size), for tokens (B, T)."""
        T = tokens.shape[1]
        x = self.token_embedding(tokens)  # (B, T, C)
        if self.config.ngram_orders:
            x = x + self.ngrams(tokens)
        rotary = None
        if self.config.positions == "learned":
            x = x + self.position_embedding.weight[:T]
        else:
            rotary = (self.rotary_cos[:T].to(x.dtype), self.rotary_sin[:T].to(x.dtype))
        for block in self.blocks:
            x = block(x, rotary)
        return self.output(self.final_norm(x)).float()
