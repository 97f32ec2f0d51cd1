"""The exact GPT in plain PyTorch operations: the definition of the arithmetic.

Two rules give the same bits for any batch, thread count, device and path:
  1. a reduction runs over integers only (or floats that hold integers, every partial sum exact);
  2. everything else is element-wise, one correctly rounded IEEE float32 operation at a time.
So: int8 weights and activations, one scale per row and token; integer norms; softmax by a table of
powers of two. Tensor / tensor divisions only: PyTorch turns a division by a Python number into a
multiplication by its reciprocal on some devices. Other implementations (`cpu/kernels.py`) must give
the same bits; they are tested against this one.

Shapes: B lanes, T new tokens, S cached and new tokens, H heads, D channels of a head.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmcompress.gpt.constants import (
    ATTENTION_LEVELS,
    ATTENTION_SCALE_BITS,
    EXPONENT_MASK,
    EXPONENT_PER_NAT,
    GELU_CUBIC,
    GELU_ROOT,
    LOGIT_SCALE_BITS,
    MAX_ACTIVATION,
    MAX_EXPONENT,
    NORM_GRID,
    NORM_SHIFT,
    PER_ATTENTION_LEVEL,
    PER_LEVEL,
    PRECISION_BITS,
    TINY,
    as_float32,
)
from lmcompress.gpt.ngrams import ngram_rows
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.gpt.tables import EXP2_BITS, NORMAL_STEPS, exp2_table, normal_tail_table


def quantize(
    x: Tensor, levels: int = MAX_ACTIVATION, per_level: float = PER_LEVEL
) -> tuple[Tensor, Tensor]:
    """Returns (q, scale): q = round(x * levels / max|x|), integer-valued float32, x ~ q * scale."""
    largest = x.abs().amax(-1, keepdim=True).clamp(min=TINY)
    return torch.round(x * (torch.full_like(largest, levels) / largest)), largest * per_level


def integer_sqrt(n: Tensor) -> Tensor:
    """Returns floor(sqrt(n)) for int64 n < 2**62; corrects the float root in integers."""
    root = torch.sqrt(n.double()).floor().long()
    for _ in range(2):
        root = root - (root * root > n).long()
        root = root + ((root + 1) * (root + 1) <= n).long()
    return root


def integer_norm(x: Tensor, eps: float, *, centred: bool) -> Tensor:
    """RMSNorm (or, centred, LayerNorm) without gain, over the last axis."""
    width = x.shape[-1]
    largest = x.abs().amax(-1, keepdim=True).clamp(min=TINY)
    factor = torch.full_like(largest, NORM_GRID) / largest
    u = torch.round(x * factor).long()
    if centred:
        total = u.sum(-1, keepdim=True)
        u = u - torch.div(2 * total + width, 2 * width, rounding_mode="floor")
    factor64 = factor.double()
    floor = ((factor64 * (eps * width)) * factor64).clamp(max=2.0**54).floor().long()
    root = integer_sqrt(((u * u).sum(-1, keepdim=True) + floor) << NORM_SHIFT).clamp(min=1)
    numerator = torch.full_like(largest, as_float32(math.sqrt(width) * 2 ** (NORM_SHIFT / 2)))
    return u.float() * (numerator / root.float())


def exp2_negative(z: Tensor, scale_bits: int) -> Tensor:
    """Returns floor(2**(scale_bits - z / 2**EXP2_BITS)), up to the table's rounding, int64."""
    table = torch.from_numpy(exp2_table(scale_bits).copy()).to(z.device)
    return table[z & EXPONENT_MASK] >> (z >> EXP2_BITS).clamp(max=62)


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function from the table: 1 / (1 + 2**-t) and its mirror image."""
    z = torch.round((x.abs() * EXPONENT_PER_NAT).clamp(max=MAX_EXPONENT)).long()
    e = exp2_negative(z, LOGIT_SCALE_BITS).float() * 2.0**-LOGIT_SCALE_BITS
    one = torch.ones_like(e)
    return torch.where(x >= 0, one, e) / (one + e)


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form (Hendrycks and Gimpel, 2016), as GPT-1 and GPT-2 compute it."""
    cube = (x * x) * x
    return x * sigmoid(GELU_ROOT * (x + cube * GELU_CUBIC))


def gelu_erf(x: Tensor) -> Tensor:
    """GELU as defined: x times the normal distribution function, between a table's entries."""
    table = torch.from_numpy(normal_tail_table().copy()).to(x.device)
    t = (x.abs() * NORMAL_STEPS).clamp(max=len(table) - 2)
    low = torch.floor(t)
    i = low.long()
    tail = table[i] - (table[i] - table[i + 1]) * (t - low)
    return x * torch.where(x >= 0, torch.ones_like(tail) - tail, tail)


@functools.cache
def int8_product_is_usable() -> bool:
    """Whether torch._int_mm is fast on this CPU, and gives exact sums.

    Without instructions for it, it is 20 times slower than a float product of the same integers.
    Known answers: all 127s (pairs saturate in 16 bits where VNNI is missing) and random values.
    """
    has = torch.cpu.get_capabilities()
    if not (has.get("amx_int8") or has.get("avx512_vnni")):
        return False
    generator = torch.Generator().manual_seed(1)
    for fill in (127, -127, None):
        for rows in (1, 32, 57):
            a = torch.randint(-127, 128, (rows, 512), generator=generator)
            b = torch.randint(-127, 128, (512, 64), generator=generator)
            if fill is not None:
                a, b = torch.full_like(a, fill), torch.full_like(b, 127)
            try:
                found = torch._int_mm(a.to(torch.int8), b.to(torch.int8))
            except RuntimeError:
                return False
            if not torch.equal(found.long(), a @ b):
                return False
    return True


class IntegerLinear:
    """y = W x, int8 weights times integer activations: exact sums, then two float products."""

    def __init__(
        self,
        q: npt.NDArray[np.int8],
        scale: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32] | None,
        levels: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Takes weights (N, K), their scales (N,), biases (N,), and the inputs' largest integer."""
        self.scale = torch.tensor(scale, device=device)
        self.levels = levels
        self.per_level = as_float32(1 / self.levels)
        self.bias = None if bias is None else torch.tensor(bias, device=device)
        # A float product holds every partial sum exactly if no row can reach 2**24 (float32) or
        # 2**53 (float64). Integers up to 256 are exact in bf16 and TF32 too, larger ones are not.
        bound = self.levels * int(np.abs(q.astype(np.int64)).sum(1).max())
        fits = bound < 1 << 24 and self.levels <= 256
        self.dtype = torch.float32 if fits else torch.float64
        self.weight = torch.tensor(q, device=device).to(self.dtype).T.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """Returns y, float32 (..., N), for x (..., K)."""
        q, scale = quantize(x, self.levels, self.per_level)
        sums = torch.matmul(q.to(self.dtype), self.weight).float()
        y = (sums * scale) * self.scale
        return y if self.bias is None else y + self.bias


@dataclasses.dataclass
class Cache:
    """What the network remembers of the tokens so far: position, last tokens, keys and values."""

    position: int = 0
    recent: Tensor | None = None
    """The last tokens (B, n), which n-grams may reach back to; None: only the BOS tokens are."""
    layers: list[tuple[Tensor, ...]] = dataclasses.field(default_factory=list)


_LINEARS = ("qkv", "proj", "up", "down")


class ExactGPT:
    """Evaluates a quantized GPT; slow and readable."""

    def __init__(self, weights: ExactWeights, device: str = "cpu") -> None:
        self.weights, self.config = weights, weights.config
        self.device = torch.device(device)
        names = [f"blocks.{i}.{n}" for i in range(self.config.n_layer) for n in _LINEARS]
        self.linears = {name: self._linear(name) for name in names}
        self.output = self._linear("token_embedding" if self.config.tied else "output")
        self.arrays = {k: torch.tensor(v, device=self.device) for k, v in weights.arrays.items()}
        rotary = weights.rotary()
        self.rotary = rotary and tuple(torch.tensor(t, device=self.device) for t in rotary)

    def frequencies(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """Returns next-symbol frequencies, less one, after each of the tokens.

        Args:
          tokens: int64 (B, T), the tokens at positions cache.position and up.
          cache: State after the earlier tokens; advanced by T. None starts a stream.

        Returns:
          int64 (B, T, vocab_size), >= 0, each row summing to 2**PRECISION_BITS - vocab_size.
          The coder adds the one back to each.
        """
        return integer_softmax(self.logits(tokens, cache))

    def logits(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """Returns exact logits, float32 (B, T, vocab_size); arguments as in `frequencies`."""
        cache = Cache() if cache is None else cache
        positions = cache.position + torch.arange(tokens.shape[1], device=self.device)
        tokens = tokens.to(self.device)
        x = self._embed("token_embedding", tokens)
        if self.config.ngram_orders:
            x = x + self._ngrams(tokens, cache)
        if self.config.positions == "learned":
            x = x + self._embed("position_embedding", positions)
        for i in range(self.config.n_layer):
            x = self._block(i, x, positions, cache)
        cache.position += tokens.shape[1]
        if self.config.norm_position == "pre":
            x = self._norm("final_norm", x)
        return self.output(x)

    def _linear(self, name: str) -> IntegerLinear:
        levels = self.config.activation_levels
        return IntegerLinear(*self.weights.linear(name), levels, self.device)

    def _embed(self, name: str, index: Tensor) -> Tensor:
        return self.arrays[f"{name}.q"][index].float() * self.arrays[f"{name}.s"][index, None]

    def _ngrams(self, tokens: Tensor, cache: Cache) -> Tensor:
        orders, bits = self.config.ngram_orders, self.config.ngram_bits
        if cache.recent is None:
            cache.recent = tokens.new_full((len(tokens), orders[-1] - 1), self.config.bos_id)
        padded = torch.cat((cache.recent, tokens), dim=1)
        cache.recent = padded[:, tokens.shape[1] :]
        rows = ngram_rows(padded, orders, bits)
        return torch.cat([self._embed("ngram_embedding", index) for index in rows], dim=-1)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        y = integer_norm(x, self.config.norm_eps, centred=self.config.norm == "layernorm")
        if self.config.norm_gain:
            y = y * self.arrays[f"{name}.gain"]
            if self.config.norm == "layernorm":
                y = y + self.arrays[f"{name}.bias"]
        return y

    def _block(self, i: int, x: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        norm_1, norm_2 = f"blocks.{i}.norm_1", f"blocks.{i}.norm_2"
        if self.config.parallel_residual:
            y = x + self._attention(i, self._norm(norm_1, x), positions, cache)
            return y + self._mlp(i, self._norm(norm_2, x))
        if self.config.norm_position == "pre":
            x = x + self._attention(i, self._norm(norm_1, x), positions, cache)
            return x + self._mlp(i, self._norm(norm_2, x))
        x = self._norm(norm_1, x + self._attention(i, x, positions, cache))
        return self._norm(norm_2, x + self._mlp(i, x))

    def _mlp(self, i: int, x: Tensor) -> Tensor:
        h = self.linears[f"blocks.{i}.up"](x)
        if self.config.activation == "relu2":
            h = h.clamp(min=0)
            h = h * h
        elif self.config.activation == "gelu":
            h = gelu(h)
        elif self.config.activation == "gelu_erf":
            h = gelu_erf(h)
        else:
            gate, value = h.chunk(2, dim=-1)
            h = (gate * sigmoid(gate)) * value
        return self.linears[f"blocks.{i}.down"](h)

    def _attention(self, i: int, x: Tensor, positions: Tensor, cache: Cache) -> Tensor:
        config, (B, T, _) = self.config, x.shape
        D, window = config.head_dim, config.attention_windows[i]
        y = self.linears[f"blocks.{i}.qkv"](x).view(B, T, -1, D).transpose(1, 2)  # (B, heads, T, D)
        q, k, v = y.split((config.n_head, config.n_kv_head, config.n_kv_head), dim=1)
        if config.qk_norm:
            q, k = (integer_norm(z, config.norm_eps, centred=False) for z in (q, k))
        if config.qk_norm_gain:
            q = q * self.arrays[f"blocks.{i}.q_norm.gain"]
            k = k * self.arrays[f"blocks.{i}.k_norm.gain"]
        if self.rotary:
            q, k = (_rotate(z, positions, self.rotary) for z in (q, k))
        new: tuple[Tensor, ...] = (*quantize(k), *quantize(v))
        if len(cache.layers) > i:
            new = tuple(torch.cat(pair, dim=2) for pair in zip(cache.layers[i], new, strict=True))
            cache.layers[i] = tuple(z[:, :, -window:] for z in new)  # window 0 keeps all
        else:
            cache.layers.append(tuple(z[:, :, -window:] for z in new))
        group = config.n_head // config.n_kv_head
        k, k_scale, v, v_scale = (z.repeat_interleave(group, dim=1) for z in new)
        S = k.shape[2]
        key_positions = positions[-1] - S + 1 + torch.arange(S, device=self.device)
        distance = positions[:, None] - key_positions
        seen = (distance >= 0) & (distance < (window or config.context_length))  # (T, S)
        y = integer_attention(q, k, k_scale, v, v_scale, seen)
        y = y.transpose(1, 2).reshape(B, T, -1)
        return self.linears[f"blocks.{i}.proj"](y)


def _rotate(x: Tensor, positions: Tensor, rotary: tuple[Tensor, ...]) -> Tensor:
    cos, sin = (t[positions % len(t)] for t in rotary)  # (T, R / 2)
    half = cos.shape[-1]
    x1, x2, rest = x.split((half, half, x.shape[-1] - 2 * half), dim=-1)
    return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin, rest), dim=-1)


def integer_attention(
    q: Tensor, k: Tensor, k_scale: Tensor, v: Tensor, v_scale: Tensor, seen: Tensor
) -> Tensor:
    """Softmax attention with integer sums.

    Args:
      q: Queries, float32 (B, H, T, D).
      k: Keys, integer-valued float32 (B, H, S, D).
      k_scale: Scales of the keys, float32 (B, H, S, 1).
      v: Values, like the keys.
      v_scale: Scales of the values.
      seen: Which keys a query sees, bool (T, S).

    Returns:
      float32 (B, H, T, D).
    """
    q, q_scale = quantize(q)
    q_scale = q_scale * as_float32(EXPONENT_PER_NAT / math.sqrt(q.shape[-1]))
    t = (torch.matmul(q, k.mT) * q_scale) * k_scale.mT  # D * 127**2 < 2**24: exact sums
    z = torch.round(t.clamp(-MAX_EXPONENT, MAX_EXPONENT)).long().masked_fill(~seen, -(1 << 40))
    e = exp2_negative(z.amax(-1, keepdim=True) - z, ATTENTION_SCALE_BITS)
    # Each value's scale is folded into its weight, so that the sum over keys is over integers.
    p, p_scale = quantize(e.float() * v_scale.mT, ATTENTION_LEVELS, PER_ATTENTION_LEVEL)
    sums = torch.matmul(p.double(), v.double()).float()  # beyond 2**24, far below 2**53
    return sums * (p_scale / e.sum(-1, keepdim=True).float())


def integer_exponents(logits: Tensor) -> Tensor:
    """Returns logits in steps of 2**(2**-EXP2_BITS), int64, within MAX_EXPONENT either way."""
    t = (logits * EXPONENT_PER_NAT).clamp(-MAX_EXPONENT, MAX_EXPONENT)
    return torch.round(t).long()


def integer_softmax(logits: Tensor) -> Tensor:
    """Turns logits (..., V) into frequencies less one, int64, that sum to 2**PRECISION_BITS - V."""
    vocab_size = logits.shape[-1]
    budget = (1 << PRECISION_BITS) - vocab_size
    z = integer_exponents(logits)
    largest = z.amax(-1, keepdim=True)
    e = exp2_negative(largest - z, LOGIT_SCALE_BITS)
    freqs = torch.div(e * budget, e.sum(-1, keepdim=True), rounding_mode="floor")
    index = torch.arange(vocab_size, device=z.device)
    first = torch.where(z == largest, index, vocab_size).amin(-1, keepdim=True)
    remainder = budget - freqs.sum(-1, keepdim=True)
    return freqs.scatter_add(-1, first, remainder)  # the remainder goes where it costs least
