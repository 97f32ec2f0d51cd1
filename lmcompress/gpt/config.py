"""The one GPT configuration and its size arithmetic.

Covers GPT-1 (post-norm, learned positions, GELU; Radford et al., 2018), GPT-2 (pre-norm, final
norm; Radford et al., 2019), GPT-3 (alternating dense and locally banded attention; Brown et al.,
2020), the byte-level Transformers of Deletang et al. (2024), Llama-style networks (RMSNorm, rotary
positions, gated SiLU, grouped key/value heads; Touvron et al., 2023) such as SmolLM2, Qwen2 and
Qwen3, and GPT-NeoX (parallel residual, part of a head rotated; Black et al., 2022).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

Norm = Literal["layernorm", "rmsnorm"]
NormPosition = Literal["pre", "post"]
Positions = Literal["learned", "rotary"]
Activation = Literal["gelu", "gelu_erf", "relu2", "swiglu"]

_SIZES = (
    "vocab_size", "n_layer", "n_head", "n_kv_head", "n_embd", "head_dim", "mlp_hidden",
    "context_length",
)  # fmt: skip
_TUPLES = ("attention_windows", "ngram_orders")
MAX_ORDER, MAX_NGRAM_BITS = 16, 24
_MOST = {"n_layer": 1 << 12, "context_length": 1 << 20, "rotary_period": 1 << 22}
"""Far more than any GPT has: a damaged configuration must not fill the memory."""


@dataclasses.dataclass(frozen=True)
class GPTConfig:
    """Shape of a GPT; two networks with equal configurations differ in weights only."""

    vocab_size: int = 256
    """Number of symbols the model reads and predicts (256: bytes)."""
    n_layer: int = 4
    n_head: int = 4
    n_kv_head: int = 0
    """Key/value heads, each shared by n_head / n_kv_head query heads; 0 means n_head."""
    n_embd: int = 256
    head_dim: int = 0
    """Channels of one head; 0 means n_embd / n_head."""
    mlp_hidden: int = 0
    """Hidden channels of the MLP; 0 means 4 * n_embd."""
    context_length: int = 1024
    """Tokens a position may see at most, itself included, in layers with full attention."""
    attention_windows: tuple[int, ...] = ()
    """Tokens seen per layer, itself included; 0 means full attention; () means full everywhere."""
    norm: Norm = "rmsnorm"
    norm_position: NormPosition = "pre"
    parallel_residual: bool = False
    """Whether attention and MLP of a block read the same input, each through its own norm."""
    norm_gain: bool = True
    """Whether norms have learned gains (and, for LayerNorm, biases)."""
    norm_eps: float = 1e-5
    qk_norm: bool = False
    """Whether queries and keys are RMS-normalized per head before rotation."""
    qk_norm_gain: bool = False
    """Whether these norms have learned gains, one for all query heads and one for all key heads."""
    positions: Positions = "rotary"
    rotary_base: float = 10000.0
    rotary_dim: int = 0
    """Leading channels of a head that are rotated; 0 means all."""
    rotary_period: int = 0
    """If set, rotary angles are whole multiples of 2 pi / period, so positions wrap around."""
    activation: Activation = "gelu"
    """gelu: in its tanh form; gelu_erf: as defined; relu2: squared; swiglu: gated SiLU."""
    bias: bool = False
    """Whether linear layers (but not the output layer) have biases."""
    qkv_bias: bool = False
    """Whether queries, keys and values have biases even if the other layers have none."""
    ngram_orders: tuple[int, ...] = ()
    """Orders of the hashed n-grams that add to a token's embedding, ascending; each adds to an
    equal share of the channels."""
    ngram_bits: int = 0
    """2**ngram_bits rows of the n-gram table belong to each order."""
    tied: bool = False
    """Whether the output layer shares the token embedding's weights."""
    activation_bits: int = 8
    """Bits of a linear layer's inputs in exact evaluation, sign included; weights have 8."""
    bos_id: int = 0
    """Token before the first symbol of every stream."""

    def __post_init__(self) -> None:
        for name, kinds in (
            ("norm", Norm),
            ("norm_position", NormPosition),
            ("positions", Positions),
            ("activation", Activation),
        ):
            if getattr(self, name) not in get_args(kinds):
                known = ", ".join(get_args(kinds))
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {known}")
        _fill = object.__setattr__
        if not self.head_dim:
            if self.n_head < 1 or self.n_embd % self.n_head:
                raise ValueError(f"n_embd {self.n_embd} is not a multiple of n_head {self.n_head}")
            _fill(self, "head_dim", self.n_embd // self.n_head)
        for name, most in _MOST.items():
            if getattr(self, name) > most:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {most} at most")
        _fill(self, "n_kv_head", self.n_kv_head or self.n_head)
        _fill(self, "mlp_hidden", self.mlp_hidden or 4 * self.n_embd)
        _fill(self, "attention_windows", tuple(self.attention_windows) or (0,) * self.n_layer)
        _fill(self, "ngram_orders", tuple(self.ngram_orders))
        self._check()

    def _check(self) -> None:
        for name in _SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 0 <= self.norm_eps < math.inf:
            raise ValueError(f"norm_eps is {self.norm_eps}, expected 0 or more")
        if not 1 <= self.rotary_base < math.inf:  # the series of the tables converges up to 1
            raise ValueError(f"rotary_base is {self.rotary_base}, expected 1 or more")
        if self.vocab_size < 2:
            raise ValueError("vocab_size is 1: there is nothing to predict")
        if not 0 <= self.bos_id < self.vocab_size:
            raise ValueError(f"bos_id {self.bos_id} is not below vocab_size {self.vocab_size}")
        if not 8 <= self.activation_bits <= 16:
            raise ValueError(f"activation_bits is {self.activation_bits}, expected 8 to 16")
        if self.n_head % self.n_kv_head:
            raise ValueError(
                f"n_head {self.n_head} is not a multiple of n_kv_head {self.n_kv_head}"
            )
        if len(self.attention_windows) != self.n_layer:
            raise ValueError(
                f"attention_windows has {len(self.attention_windows)} entries "
                f"for {self.n_layer} layers"
            )
        if any(not 0 <= w <= self.context_length for w in self.attention_windows):
            raise ValueError(
                f"attention_windows {self.attention_windows} must lie in 0..{self.context_length}"
            )
        if self.positions == "rotary" and self.rotary_width % 2:
            raise ValueError(f"{self.rotary_width} rotated channels: rotary positions need pairs")
        if not 0 <= self.rotary_dim <= self.head_dim:
            raise ValueError(f"rotary_dim {self.rotary_dim} is not in 0..head_dim {self.head_dim}")
        if self.rotary_dim and self.positions != "rotary":
            raise ValueError(f"rotary_dim is set, but positions are {self.positions}")
        if self.parallel_residual and self.norm_position == "post":
            raise ValueError("parallel_residual needs norm_position pre")
        if self.qk_norm_gain and not self.qk_norm:
            raise ValueError("qk_norm_gain is set without qk_norm: there is nothing to scale")
        if self.rotary_period and self.positions != "rotary":
            raise ValueError(f"rotary_period is set, but positions are {self.positions}")
        self._check_ngrams()
        if self.rotary_period % 4:
            raise ValueError(f"rotary_period {self.rotary_period} is not a multiple of 4")
        if self.rotary_period and self.rotary_period < 2 * self.context_length:
            raise ValueError(
                f"rotary_period {self.rotary_period} is under twice the context length "
                f"{self.context_length}: far positions would look near"
            )

    def _check_ngrams(self) -> None:
        orders = self.ngram_orders
        if any(type(n) is not int for n in (*orders, self.ngram_bits)):
            raise ValueError(
                f"ngram_orders {orders} and ngram_bits {self.ngram_bits!r} must be integers"
            )
        if list(orders) != sorted({*orders}) or any(not 2 <= n <= MAX_ORDER for n in orders):
            raise ValueError(f"ngram_orders {orders} must ascend within 2..{MAX_ORDER}")
        if orders and self.n_embd % len(orders):
            raise ValueError(
                f"n_embd {self.n_embd} is not a multiple of {len(orders)} ngram_orders"
            )
        if not (1 <= self.ngram_bits <= MAX_NGRAM_BITS if orders else self.ngram_bits == 0):
            raise ValueError(
                f"ngram_bits is {self.ngram_bits}, expected 1 to {MAX_NGRAM_BITS}, and 0 without "
                "ngram_orders"
            )

    @property
    def ngram_shape(self) -> tuple[int, int]:
        """Rows and columns of the n-gram table."""
        orders = len(self.ngram_orders)
        return orders << self.ngram_bits, self.n_embd // max(orders, 1)

    @property
    def activation_levels(self) -> int:
        """The largest integer that enters a linear layer."""
        return (1 << self.activation_bits - 1) - 1

    @property
    def rotary_width(self) -> int:
        """Channels of a head that are rotated."""
        return self.rotary_dim or self.head_dim

    @property
    def has_qkv_bias(self) -> bool:
        """Whether queries, keys and values have biases."""
        return self.bias or self.qkv_bias

    @property
    def norm_names(self) -> tuple[str, ...]:
        """Names of the norms before each sublayer and the output; empty where there is none."""
        layers = range(self.n_layer)
        names = [f"blocks.{i}.{name}" for i in layers for name in ("norm_1", "norm_2")]
        return (*names, "final_norm") if self.norm_position == "pre" else ("", *names)

    @property
    def streams(self) -> bool:
        """Whether the network can run without restarts: every layer banded, positions that wrap."""
        return all(self.attention_windows) and self.rotary_period > 0

    @property
    def num_parameters_by_part(self) -> dict[str, int]:
        """Parameters of each part of the network."""
        d, norms = self.n_embd, 0
        if self.norm_gain:
            per_norm = d if self.norm == "rmsnorm" else 2 * d
            norms = per_norm * (2 * self.n_layer + (self.norm_position == "pre"))
        norms += 2 * self.head_dim * self.n_layer * self.qk_norm_gain
        q, kv = self.n_head * self.head_dim, self.n_kv_head * self.head_dim
        attention = d * (q + 2 * kv) + q * d
        attention += self.has_qkv_bias * (q + 2 * kv) + self.bias * d
        up = self.mlp_hidden * (2 if self.activation == "swiglu" else 1)
        mlp = d * up + self.mlp_hidden * d + self.bias * (up + d)
        return {
            "token_embedding": self.vocab_size * d,
            "ngram_embedding": math.prod(self.ngram_shape) if self.ngram_orders else 0,
            "position_embedding": self.context_length * d if self.positions == "learned" else 0,
            "attention": self.n_layer * attention,
            "mlp": self.n_layer * mlp,
            "norms": norms,
            "output": 0 if self.tied else self.vocab_size * d,
        }

    @property
    def num_parameters(self) -> int:
        """All parameters, embeddings included.

        Part of the format: the adaptive stage begins differently above 2**25 (docs/adaptive.md).
        """
        return sum(self.num_parameters_by_part.values())

    @property
    def flops_per_token(self) -> int:
        """Multiplications and additions of one token's forward pass at full context."""
        parts = self.num_parameters_by_part
        products = parts["attention"] + parts["mlp"] + self.vocab_size * self.n_embd
        keys = sum(w or self.context_length for w in self.attention_windows)
        return 2 * products + 4 * keys * self.n_head * self.head_dim

    def to_dict(self) -> dict[str, Any]:
        """Returns the configuration as JSON-ready values."""
        lists = {name: list(getattr(self, name)) for name in _TUPLES}
        return {**dataclasses.asdict(self), **lists}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GPTConfig:
        """Builds a configuration; raises ValueError on unknown keys and unusable values."""
        known = {field.name: field.default for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(
                f"unknown GPT option {unknown[0]!r}, known: {', '.join(sorted(known))}"
            )
        try:
            tuples = {name: tuple(values.get(name, ())) for name in _TUPLES}
            for name, value in {**values, **tuples}.items():
                _check_type(name, value, known[name])
            return cls(**{**values, **tuples})
        except TypeError as exc:
            raise ValueError(f"a GPT option has a value of the wrong type: {exc}") from exc


def _check_type(name: str, value: Any, default: Any) -> None:
    """Raises TypeError unless a value is of the type of its option's default."""
    expected = type(default)
    kinds = (int, float) if expected is float else (expected,)
    if type(value) not in kinds:
        raise TypeError(f"{name} is {value!r}, expected {expected.__name__}")
    if expected is tuple and any(type(item) is not int for item in value):
        raise TypeError(f"{name} is {list(value)!r}, expected integers")
