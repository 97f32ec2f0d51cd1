"""The GPT of docs/arithmetic.md in NumPy, one token at a time; no code of the package."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

f32 = np.float32
TINY, CAP, P = f32(2.0**-40), f32(2.0**21), 1 << 24
K = f32(1024 * math.log2(math.e))
ONE = f32(1)
Row = Any


def table(scale_bits: int) -> list[int]:
    """Returns round(2**S * 2**(-i / 1024))."""
    with localcontext(prec=60):
        exact = (Decimal(2) ** (scale_bits - Decimal(i) / 1024) for i in range(1024))
        return [int((x + Decimal("0.5")).to_integral_value("ROUND_FLOOR")) for x in exact]


TABLES = {bits: table(bits) for bits in (16, 30)}


def pow2(z: int, scale_bits: int) -> int:
    return TABLES[scale_bits][z % 1024] >> min(z // 1024, 62)


def quantize(x: Row, levels: int) -> tuple[Row, np.float32]:
    m = max(TINY, np.abs(x).max())
    return np.rint(x * (f32(levels) / m)).astype(np.int64), m * f32(1 / levels)


def norm(x: Row, eps: float, centred: bool) -> Row:
    n = len(x)
    f = f32(2.0**20) / max(TINY, np.abs(x).max())
    u = np.rint(x * f).astype(np.int64)
    if centred:
        u -= (2 * int(u.sum()) + n) // (2 * n)
    c = math.floor(min((float(f) * (eps * n)) * float(f), 2.0**54))
    r = max(1, math.isqrt((int((u * u).sum()) + c) << 6))
    return u.astype(f32) * (f32(8 * math.sqrt(n)) / f32(r))


def sigmoid(x: Row) -> Row:
    z = np.rint(np.minimum(np.abs(x) * K, CAP)).astype(np.int64)
    e = np.array([pow2(int(i), 30) for i in z]).astype(f32) * f32(2.0**-30)
    return np.where(x >= 0, ONE, e) / (ONE + e)


def tail(i: int) -> np.float32:
    """Probability that a normal variable exceeds i / 256, from the C library: near enough."""
    return f32(0 if i >= 1792 else math.erfc(i / 256 / math.sqrt(2)) / 2)


def gelu_erf(x: Row) -> Row:
    out = []
    for value in x:
        t = min(abs(value) * f32(256), f32(1792))
        i = math.floor(t)
        a = tail(i) - (tail(i) - tail(i + 1)) * (t - f32(i))
        out.append(value * (ONE - a if value >= 0 else a))
    return np.array(out, f32)


class SecondGPT:
    """One stream of tokens."""

    def __init__(self, config: Any, arrays: dict[str, Any]) -> None:
        self.config, self.arrays = config, arrays
        self.tokens: list[int] = []
        self.cache: list[list[tuple[Row, ...]]] = [[] for _ in range(config.n_layer)]

    def linear(self, name: str, x: Row) -> Row:
        q, s = quantize(x, (1 << self.config.activation_bits - 1) - 1)
        y = ((self.arrays[f"{name}.q"].astype(np.int64) @ q).astype(f32) * s) * self.arrays[
            f"{name}.s"
        ]
        return y + self.arrays[f"{name}.b"] if f"{name}.b" in self.arrays else y

    def norm(self, name: str, x: Row) -> Row:
        y = norm(x, self.config.norm_eps, self.config.norm == "layernorm")
        for kind, combine in (("gain", np.multiply), ("bias", np.add)):
            if f"{name}.{kind}" in self.arrays:
                y = combine(y, self.arrays[f"{name}.{kind}"])
        return y

    def row(self, name: str, index: int) -> Row:
        return self.arrays[f"{name}.q"][index].astype(f32) * self.arrays[f"{name}.s"][index]

    def ngrams(self) -> Row:
        parts, bits = [], self.config.ngram_bits
        for j, order in enumerate(self.config.ngram_orders):
            before = [self.config.bos_id] * order + self.tokens
            h = 0
            for token in before[: -order - 1 : -1]:
                h = (h * 0x2F0B4C47 + token + 1) % 2**32
            r = ((h * 0x61C88647) % 2**32 >> (32 - bits)) + (j << bits)
            parts.append(self.row("ngram_embedding", r))
        return np.concatenate(parts)

    def mlp(self, i: int, x: Row) -> Row:
        kind, h = self.config.activation, self.linear(f"blocks.{i}.up", x)
        if kind == "relu2":
            h = np.maximum(h, f32(0)) * np.maximum(h, f32(0))
        elif kind == "gelu":
            cube = (h * h) * h
            root = f32(2 * math.sqrt(2 / math.pi))
            h = h * sigmoid(root * (h + cube * f32(0.044715)))
        elif kind == "swiglu":
            gate, value = np.split(h, 2)
            h = (gate * sigmoid(gate)) * value
        else:
            h = gelu_erf(h)
        return self.linear(f"blocks.{i}.down", h)

    def rotate(self, x: Row) -> Row:
        config, p = self.config, len(self.tokens) - 1
        if config.positions != "rotary":
            return x
        half = (config.rotary_dim or config.head_dim) // 2
        if config.rotary_period:
            turns = self.arrays["rotary.turns"].astype(int) * p % config.rotary_period
            angle = 2 * math.pi * turns / config.rotary_period
            cos, sin = np.rint(2**14 * np.cos(angle)), np.rint(2**14 * np.sin(angle))
        else:
            cos, sin = self.arrays["rotary.cos"][p], self.arrays["rotary.sin"][p]
        cos, sin = cos.astype(f32) * f32(2.0**-14), sin.astype(f32) * f32(2.0**-14)
        x1, x2 = x[:half], x[half : 2 * half]
        return np.concatenate((x1 * cos - x2 * sin, x2 * cos + x1 * sin, x[2 * half :]))

    def head(self, i: int, name: str, x: Row) -> Row:
        """A query or key: its norm, its gain, its rotation."""
        if self.config.qk_norm:
            x = norm(x, self.config.norm_eps, centred=False)
        gain = self.arrays.get(f"blocks.{i}.{name}_norm.gain")
        return self.rotate(x if gain is None else x * gain)

    def attention(self, i: int, x: Row) -> Row:
        config, D = self.config, self.config.head_dim
        heads = self.linear(f"blocks.{i}.qkv", x).reshape(-1, D)
        queries, rest = heads[: config.n_head], heads[config.n_head :]
        keys, values = rest[: config.n_kv_head], rest[config.n_kv_head :]
        entry = []
        for key, value in zip(keys, values, strict=True):
            entry.append((*quantize(self.head(i, "k", key), 127), *quantize(value, 127)))
        self.cache[i].append(tuple(entry))
        seen = self.cache[i][-(config.attention_windows[i] or config.context_length) :]
        out = []
        for h, query in enumerate(queries):
            mine = [entry[h * config.n_kv_head // config.n_head] for entry in seen]
            q, qs = quantize(self.head(i, "q", query), 127)
            qs = qs * f32(float(K) / math.sqrt(D))
            t = [(f32(int((q * k).sum())) * qs) * ks for k, ks, _, _ in mine]
            z = [int(np.rint(min(max(value, -CAP), CAP))) for value in t]
            e = [pow2(max(z) - value, 16) for value in z]
            weights = np.array([f32(a) * vs for a, (_, _, _, vs) in zip(e, mine, strict=True)])
            p, ps = quantize(weights, 2047)
            sums = sum(int(a) * v for a, (_, _, v, _) in zip(p, mine, strict=True))
            out.append(sums.astype(f32) * (ps / f32(sum(e))))
        return self.linear(f"blocks.{i}.proj", np.concatenate(out))

    def read(self, token: int) -> list[int]:
        """Returns the frequencies of what follows."""
        self.tokens.append(token)
        config = self.config
        x = self.row("token_embedding", token)
        if config.ngram_orders:
            x = x + self.ngrams()
        if config.positions == "learned":
            x = x + self.row("position_embedding", len(self.tokens) - 1)
        for i in range(config.n_layer):
            first, second = f"blocks.{i}.norm_1", f"blocks.{i}.norm_2"
            if config.norm_position == "post":
                x = self.norm(first, x + self.attention(i, x))
                x = self.norm(second, x + self.mlp(i, x))
            else:
                y = x + self.attention(i, self.norm(first, x))
                x = y + self.mlp(i, self.norm(second, x if config.parallel_residual else y))
        if config.norm_position == "pre":
            x = self.norm("final_norm", x)
        return frequencies(self.linear("token_embedding" if config.tied else "output", x))


def frequencies(logits: Row) -> list[int]:
    """Returns each symbol's frequency out of 2**24."""
    z = [int(np.rint(min(max(value * K, -CAP), CAP))) for value in logits]
    e = [pow2(max(z) - value, 30) for value in z]
    budget = P - len(z)
    w = [value * budget // sum(e) for value in e]
    w[z.index(max(z))] += budget - sum(w)
    return [1 + value for value in w]
