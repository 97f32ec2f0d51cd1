"""From float weights to the int8 weights that exact evaluation reads.

Each weight row has one float32 scale (its largest magnitude / 127). The result is plain arrays by
name, with a fingerprint over every bit that can change a prediction.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.tables import cosine_table, rotary_tables
from lmcompress.tokenizer.vocabulary import TokenTable

if TYPE_CHECKING:
    from torch import Tensor

    from lmcompress.gpt.network import GPT

ARITHMETIC_VERSION = 1
"""Changes whenever equal weights may give other frequencies than before."""

ROTARY_BITS = 14
"""Cosines and sines lie on a grid of 2**-ROTARY_BITS."""

MAX_REDUCTION = 1 << 17
"""Longest row of a product: 127 * 127 * MAX_REDUCTION stays below 2**31."""
MAX_CONTEXT = 8192
"""Most keys that a query sees: 2047 * 127 * MAX_CONTEXT stays below 2**31."""
MAX_EMBEDDING = 8192
MAX_HEAD_DIM = 1024
"""127 * 127 * MAX_HEAD_DIM stays below 2**24: scores are exact in float32."""
MAX_SCALE, MAX_GAIN = 4.0, 1024.0
"""Largest scales of weights, and gains and biases. At all sizes that are allowed, no float reaches
2**127 then, and no engine meets an infinity. A norm gives at most sqrt(MAX_EMBEDDING) < 91 before
its gain, so what enters qkv and up is below 2**17, and what they give below
2**7 * MAX_EMBEDDING * 2**17 * MAX_SCALE + MAX_GAIN < 2**40. Attention's exponents are then below
2**100; GELU's, from a cube, below 2**127. An MLP's activations, at most a square, are below 2**80,
what it adds to its input below 2**7 * MAX_REDUCTION * 2**80 * MAX_SCALE = 2**106, and the sum of
all that 2**12 layers add below 2**119."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExactWeights:
    """A model as exact evaluation needs it: configuration, arrays by name."""

    config: GPTConfig
    arrays: Mapping[str, npt.NDArray[np.generic]]
    tokens: TokenTable | None = None
    """The bytes of each token; None if the symbols are bytes."""

    def __post_init__(self) -> None:
        config = self.config
        if self.tokens is not None and len(self.tokens.tokens) != config.vocab_size:
            raise ValueError(
                f"the token table has {len(self.tokens.tokens)} tokens, expected "
                f"{config.vocab_size} (vocab_size)"
            )
        _check_sums(config)
        self._check_arrays()

    def _check_arrays(self) -> None:
        """Raises ValueError on shapes that the kernels, which check no bounds, do not expect."""
        expected = expected_arrays(self.config)
        if odd := sorted(set(self.arrays) ^ set(expected)):
            raise ValueError(f"array {odd[0]} is missing, or not one of this configuration's")
        for name, (dtype, shape) in expected.items():
            array = self.arrays[name]
            if (array.dtype, array.shape) != (np.dtype(dtype), shape):
                raise ValueError(
                    f"array {name} is {array.dtype} {array.shape}, expected {dtype} {shape}"
                )
            if dtype == "float32":
                _check_values(name, array)

    @property
    def fingerprint(self) -> bytes:
        """16 bytes that change with any weight, shape or token."""
        digest = hashlib.blake2b(digest_size=16)
        # Only what differs from a default: an option added later leaves old fingerprints alone.
        defaults = {field.name: field.default for field in dataclasses.fields(GPTConfig)}
        defaults |= {name: [] for name, value in defaults.items() if value == ()}  # as in JSON
        config = {k: v for k, v in self.config.to_dict().items() if v != defaults[k]}
        # Not the version of the arithmetic, which may rise: files find their model by this.
        header = {"arithmetic": 1, "config": config}
        digest.update(json.dumps(header, sort_keys=True).encode())
        for name in sorted(self.arrays):
            array = self.arrays[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        if self.tokens is not None:
            digest.update(self.tokens.digest())
        return digest.digest()

    @property
    def model_bytes(self) -> int:
        """Bytes of the stored weights and of the token table."""
        tables = [] if self.tokens is None else self.tokens.to_arrays().values()
        return sum(array.nbytes for array in (*self.arrays.values(), *tables))

    def linear(
        self, name: str
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        """Returns (weights int8 (N, K), scales float32 (N,), bias float32 (N,) or None)."""
        arrays = self.arrays
        return arrays[f"{name}.q"], arrays[f"{name}.s"], arrays.get(f"{name}.b")  # type: ignore[return-value]

    def rotary(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
        """Returns cosines and sines, float32 (positions, rotary_width / 2), or None."""
        config = self.config
        if config.positions != "rotary":
            return None
        if not config.rotary_period:
            cos, sin = self.arrays["rotary.cos"], self.arrays["rotary.sin"]
        else:
            period = config.rotary_period
            table = cosine_table(period, ROTARY_BITS)
            turns = np.arange(period)[:, None] * self.arrays["rotary.turns"].astype(np.int64)
            cos, sin = table[turns % period], table[(turns - period // 4) % period]
        scale = np.float32(2.0**-ROTARY_BITS)
        return cos.astype(np.float32) * scale, sin.astype(np.float32) * scale


def _check_values(name: str, array: npt.NDArray[np.generic]) -> None:
    """Raises ValueError on floats with which others could overflow."""
    largest, most = np.abs(array).max(), MAX_SCALE if name.endswith(".s") else MAX_GAIN
    if not np.isfinite(largest):
        raise ValueError(f"array {name} has values that are not finite")
    if largest > most:
        raise ValueError(
            f"array {name} has a value of {largest:g}, expected {most:g} at most: products would "
            "overflow"
        )


def _check_sums(config: GPTConfig) -> None:
    """Raises ValueError if a configuration is so large that sums of integers could overflow."""
    for name, value, most in (
        ("context_length", config.context_length, MAX_CONTEXT),
        ("n_embd", config.n_embd, MAX_EMBEDDING),
        ("head_dim", config.head_dim, MAX_HEAD_DIM),
        ("n_head * head_dim", config.n_head * config.head_dim, MAX_REDUCTION),
        ("mlp_hidden", config.mlp_hidden, MAX_REDUCTION),
    ):
        if value > most:
            raise ValueError(f"{name} is {value}, expected {most} at most: sums would overflow")


def expected_arrays(config: GPTConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Returns dtype and shape of each array that a configuration's exact weights have."""
    d, half = config.n_embd, config.rotary_width // 2
    q, kv = config.n_head * config.head_dim, config.n_kv_head * config.head_dim
    up = config.mlp_hidden * (2 if config.activation == "swiglu" else 1)
    blocks = [f"blocks.{i}" for i in range(config.n_layer)]
    matrices = {"token_embedding": (config.vocab_size, d)}
    vectors: dict[str, int] = {}
    for block in blocks:
        linears = {
            "qkv": (q + 2 * kv, d),
            "proj": (d, q),
            "up": (up, d),
            "down": (d, config.mlp_hidden),
        }
        matrices |= {f"{block}.{name}": shape for name, shape in linears.items()}
        for name, shape in linears.items():
            if config.has_qkv_bias if name == "qkv" else config.bias:
                vectors[f"{block}.{name}.b"] = shape[0]
        if config.qk_norm_gain:
            vectors |= {f"{block}.{name}.gain": config.head_dim for name in ("q_norm", "k_norm")}
    if not config.tied:
        matrices["output"] = (config.vocab_size, d)
    if config.ngram_orders:
        matrices["ngram_embedding"] = config.ngram_shape
    if config.positions == "learned":
        matrices["position_embedding"] = (config.context_length, d)
    if config.norm_gain:
        norms = [f"{block}.{norm}" for block in blocks for norm in ("norm_1", "norm_2")]
        norms += ["final_norm"] if config.norm_position == "pre" else []
        kinds = ("gain", "bias") if config.norm == "layernorm" else ("gain",)
        vectors |= {f"{norm}.{kind}": d for norm in norms for kind in kinds}
    arrays: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in matrices.items():
        arrays |= {f"{name}.q": ("int8", shape), f"{name}.s": ("float32", shape[:1])}
    arrays |= {name: ("float32", (length,)) for name, length in vectors.items()}
    if config.positions == "rotary" and config.rotary_period:
        arrays["rotary.turns"] = ("int32", (half,))
    elif config.positions == "rotary":
        arrays |= {f"rotary.{n}": ("int16", (config.context_length, half)) for n in ("cos", "sin")}
    return arrays


def quantize_rows(matrix: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.generic]]:
    """Returns {"q": int8, "s": float32} with matrix ~ q * s[:, None]."""
    if not np.isfinite(matrix).all():
        raise ValueError("weights are not finite: the training run diverged")
    scales = np.maximum(np.abs(matrix).max(axis=1), np.float32(2.0**-40)) / np.float32(127)
    return {"q": np.rint(matrix / scales[:, None]).astype(np.int8, order="C"), "s": scales}


def quantize_network(network: GPT) -> ExactWeights:
    """Returns the exact form of a float network; the same floats give the same arrays."""
    return quantize_tensors(network.config, network.state_dict().items())


def quantize_tensors(config: GPTConfig, tensors: Iterable[tuple[str, Tensor]]) -> ExactWeights:
    """Returns exact weights from float tensors named as in `GPT.state_dict()`, taken one by one."""
    _check_sums(config)  # before computing tables as long as the context
    arrays = _rotary_arrays(config)
    for name, tensor in tensors:
        stem, kind = name.replace(".attention.", ".").replace(".mlp.", ".").rsplit(".", 1)
        if stem == "output" and config.tied:
            continue
        if "norm" in stem:
            arrays[f"{stem}.{'gain' if kind == 'weight' else kind}"] = _numpy(tensor)
        elif kind == "bias":
            arrays[f"{stem}.b"] = _numpy(tensor)
        else:
            for suffix, array in quantize_rows(_numpy(tensor)).items():
                arrays[f"{stem}.{suffix}"] = array
    return ExactWeights(config, arrays)


def _rotary_arrays(config: GPTConfig) -> dict[str, npt.NDArray[np.generic]]:
    if config.positions != "rotary":
        return {}
    if config.rotary_period:
        from lmcompress.gpt.network import rotary_angles

        step = rotary_angles(config, 2)[1].numpy() * config.rotary_period / (2 * np.pi)
        return {"rotary.turns": np.rint(step).astype(np.int32)}
    half = config.rotary_width // 2
    tables = rotary_tables(config.rotary_base, half, config.context_length, ROTARY_BITS)
    names = ("rotary.cos", "rotary.sin")
    return {name: table.astype(np.int16) for name, table in zip(names, tables, strict=True)}


def _numpy(tensor: Tensor) -> npt.NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy()
