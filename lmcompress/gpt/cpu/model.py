"""A quantized GPT laid out for the CPU path's kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt import constants
from lmcompress.gpt.cpu import kernels, matmul
from lmcompress.gpt.cpu.attention import attention_kernels
from lmcompress.gpt.cpu.matmul_int16 import Int16Linear
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.gpt.tables import exp2_table, normal_tail_table

if TYPE_CHECKING:
    from lmcompress.gpt.cpu.matmul_torch import PyTorchProduct

_ACTIVATIONS = {
    "relu2": kernels.RELU2,
    "gelu": kernels.GELU,
    "gelu_erf": kernels.GELU_ERF,
    "swiglu": kernels.SWIGLU,
}
_NOTHING = np.empty(0, np.float32)
_NO_TABLE = np.empty((0, 0), np.float32)


class Int8Linear:
    """Weights of one product, laid out once, by the fused kernels or by PyTorch."""

    def __init__(self, weights: ExactWeights, name: str) -> None:
        q, self.scale, bias = weights.linear(name)
        self.bias = _NOTHING if bias is None else bias
        self.width, self.depth = q.shape
        self.rows, self.has_kernel = q, matmul.fits(q)

    @functools.cached_property
    def by_pytorch(self) -> PyTorchProduct:
        """The same weights as PyTorch takes them."""
        from lmcompress.gpt.cpu.matmul_torch import PyTorchProduct

        return PyTorchProduct(self.rows)

    @functools.cached_property
    def panels(self) -> npt.NDArray[np.int8]:
        """The same weights as the kernels take them."""
        return matmul.pack(self.rows)

    def uses_pytorch(self, num_rows: int) -> bool:
        """Whether PyTorch computes products of so many rows."""
        return not (self.has_kernel and matmul.beats_pytorch(num_rows))

    def bind(self, q: npt.NDArray[Any], out: npt.NDArray[Any]) -> Callable[[], object]:
        """Returns what writes q (M, K) int8 times the weights into out (M, N) int32."""
        if self.uses_pytorch(len(q)):
            return self.by_pytorch.bind(q, out)
        return functools.partial(matmul.product, q, self.panels, False, out)


Linear = Int8Linear | Int16Linear


class CpuModel:
    """A quantized GPT ready for the kernels; shared by all groups of lanes."""

    def __init__(self, weights: ExactWeights) -> None:
        config = weights.config
        self.weights, self.config = weights, config
        self.has_int16_inputs = config.activation_bits > 8
        self.grid = (
            np.float32(config.activation_levels),
            np.float32(1 / config.activation_levels),
        )
        linear: type[Linear] = Int16Linear if self.has_int16_inputs else Int8Linear
        self.output = linear(weights, "token_embedding" if config.tied else "output")
        self.layers = [
            {name: linear(weights, f"blocks.{i}.{name}") for name in ("qkv", "proj", "up", "down")}
            for i in range(config.n_layer)
        ]
        self.linears = [self.output, *(y for layer in self.layers for y in layer.values())]
        self.has_kernels = all(linear.has_kernel for linear in self.linears)
        self._uses_pytorch: dict[int, bool] = {}
        """By rows: it is asked at every step."""
        self.windows = [window or config.context_length for window in config.attention_windows]
        rotary = weights.rotary()
        self.cos, self.sin = (_NO_TABLE, _NO_TABLE) if rotary is None else rotary
        self.attend = attention_kernels(config.head_dim).attend
        self.attention_table = exp2_table(constants.ATTENTION_SCALE_BITS).astype(np.int32)
        self.logit_table = exp2_table(constants.LOGIT_SCALE_BITS)
        self.symbols = _symbols(weights), self.logit_table.astype(np.int32)
        """Logits' places in the order of the token trie, and the table in fewer bits."""
        self.activation = _ACTIVATIONS[config.activation]
        has_tails = config.activation == "gelu_erf"  # they take a tenth of a second to compute
        self.normal_tails = normal_tail_table() if has_tails else _NOTHING
        self.norms = [self._norm(name) for name in self.config.norm_names]
        self.qk_gains = [
            [
                weights.arrays.get(f"blocks.{i}.{name}.gain", _NOTHING)
                for name in ("q_norm", "k_norm")
            ]
            for i in range(config.n_layer)
        ]

    def uses_pytorch(self, num_rows: int) -> bool:
        """Whether PyTorch takes part in a pass over so many rows; lays the weights out for it."""
        if num_rows not in self._uses_pytorch:
            linears = [linear for linear in self.linears if linear.uses_pytorch(num_rows)]
            for linear in linears:
                _ = linear.by_pytorch
            self._uses_pytorch[num_rows] = bool(linears)
        return self._uses_pytorch[num_rows]

    def _norm(self, name: str) -> tuple[int, Any, Any]:
        """Returns (kind, gain, bias) as `kernels.add_norm_quantize` takes them."""
        kind = kernels.NORM if name else 0
        if self.config.norm == "layernorm":
            kind |= kernels.CENTRED
        if self.config.norm_position == "post":
            kind |= kernels.POST
        if self.config.parallel_residual and name.endswith("norm_2"):
            kind |= kernels.PARALLEL
        arrays = self.weights.arrays
        return kind, arrays.get(f"{name}.gain", _NOTHING), arrays.get(f"{name}.bias", _NOTHING)


def _symbols(weights: ExactWeights) -> npt.NDArray[np.uint32]:
    """Returns the trie's symbols (s,), V for a byte without a token; none for a byte model."""
    order = weights.tokens.trie.order if weights.tokens else np.empty(0, np.int32)
    return np.minimum(order, weights.config.vocab_size).astype(np.uint32)


@functools.lru_cache(maxsize=4)
def cpu_model(weights: ExactWeights) -> CpuModel:
    """Returns the model laid out for the kernels, made once for each set of weights."""
    return CpuModel(weights)
