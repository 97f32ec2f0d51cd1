"""Fast exact evaluation on the CPU, in numba kernels; products by PyTorch where it is faster.

Lanes are split into groups, one a thread, that share nothing but weights: no thread waits inside a
step, and each product runs on its own core.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt import constants
from lmcompress.gpt.cpu import kernels, matmul
from lmcompress.gpt.cpu.attention import attention_kernels
from lmcompress.gpt.cpu.matmul_int16 import Int16Linear
from lmcompress.gpt.cpu.rings import new_rings
from lmcompress.gpt.engine import BlockEngine
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
_NO_SUMS = np.empty((0, 0), np.int32)


class _Linear:
    """Weights of one product, laid out once, by the fused kernels or by PyTorch."""

    def __init__(self, weights: ExactWeights, name: str) -> None:
        q, self.scale, bias = weights.linear(name)
        self.bias = _NOTHING if bias is None else bias
        self.width, self.depth = q.shape
        self.rows, self.offset = q, matmul.offsets(q)

    @functools.cached_property
    def by_pytorch(self) -> PyTorchProduct:
        """The same weights as PyTorch takes them."""
        from lmcompress.gpt.cpu.matmul_torch import PyTorchProduct

        return PyTorchProduct(self.rows)

    @functools.cached_property
    def panels(self) -> npt.NDArray[np.int8]:
        """The same weights as the fused kernels take them."""
        return matmul.pack(self.rows)

    @property
    def fused(self) -> tuple[npt.NDArray[Any], ...]:
        """Weights, offsets, scales and bias, as the fused kernels take them."""
        return self.panels, self.offset, self.scale, self.bias

    def bind(self, q: npt.NDArray[Any], out: npt.NDArray[Any]) -> Callable[[], object]:
        """Returns what writes q (M, K) int8 times the weights into out (M, N) int32."""
        return self.by_pytorch.bind(q, out)


Linear = _Linear | Int16Linear


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
        linear: type[Linear] = Int16Linear if self.has_int16_inputs else _Linear
        self.output = linear(weights, "token_embedding" if config.tied else "output")
        self.layers = [
            {name: linear(weights, f"blocks.{i}.{name}") for name in ("qkv", "proj", "up", "down")}
            for i in range(config.n_layer)
        ]
        self.linears = [self.output, *(y for layer in self.layers for y in layer.values())]
        self._has_kernels = not self.has_int16_inputs and all(
            matmul.fits(linear.rows) for linear in self.linears
        )
        self.windows = [window or config.context_length for window in config.attention_windows]
        rotary = weights.rotary()
        self.cos, self.sin = (_NO_TABLE, _NO_TABLE) if rotary is None else rotary
        self.attend = attention_kernels(config.head_dim).attend
        self.attention_table = exp2_table(constants.ATTENTION_SCALE_BITS).astype(np.int32)
        self.logit_table = exp2_table(constants.LOGIT_SCALE_BITS)
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

    def is_fused(self, num_rows: int) -> bool:
        """Whether the fused kernels take so many rows at once, and not PyTorch."""
        return self._has_kernels and matmul.beats_pytorch(num_rows)

    def uses_pytorch(self, num_rows: int) -> bool:
        """Whether PyTorch takes part in a pass over so many rows; lays the weights out for it."""
        if self.is_fused(num_rows):
            return False
        rest = [y for y in self.linears if not (isinstance(y, Int16Linear) and y.has_kernel)]
        for linear in rest:
            _ = linear.by_pytorch
        return bool(rest)

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


@functools.lru_cache(maxsize=4)
def cpu_model(weights: ExactWeights) -> CpuModel:
    """Returns the model laid out for the kernels; made once for each set of weights."""
    return CpuModel(weights)


class _Group:
    """State and scratch memory of some lanes, evaluated on one thread."""

    def __init__(self, model: CpuModel, lanes: int, max_steps: int) -> None:
        config = model.config
        self.model, self.lanes = model, lanes
        self.clock = np.zeros(1, np.int64)
        """Tokens read before this call; an array, so that a plan can hold it."""
        rows, D = lanes * max_steps, config.head_dim
        self.x = np.empty((rows, config.n_embd), np.float32)
        self.scale = np.empty(rows, np.float32)
        widest = max(config.n_embd, config.n_head * D, config.mlp_hidden)
        dtypes = (np.float32, np.float32) if model.has_int16_inputs else (np.int8, np.int32)
        self.quantized = np.empty(rows * widest, dtypes[0])
        self.sums = np.empty(rows * max(y.width for y in model.linears), dtypes[1])
        heads = lanes, config.n_kv_head
        self.rings = [new_rings(heads, window, max_steps, D) for window in model.windows]
        orders = config.ngram_orders
        self.recent = np.full((lanes, max(orders, default=1) - 1), config.bos_id, np.int64)
        """The last tokens, which n-grams may reach back to."""
        self.plans: dict[tuple[int, bool], _Plan] = {}

    def predict(
        self,
        tokens: npt.NDArray[np.int64],
        position: int,
        out: npt.NDArray[np.float32] | None,
        logits: npt.NDArray[np.float32] | None,
    ) -> None:
        """Reads tokens (lanes, steps); fills what is given of shape (steps, lanes, V)."""
        key = tokens.shape[1], out is not None or logits is not None
        if key not in self.plans:
            self.plans[key] = _Plan(self, *key)
        plan = self.plans[key]
        self.clock[0] = position
        if not position:
            self.recent[:] = self.model.config.bos_id
        plan.tokens[:] = tokens.reshape(-1)
        for call in plan.calls:
            call()
        head = self.model.output
        if out is not None:
            kernels.freqs_from_logits(
                plan.sums, self.scale, head.scale, self.model.logit_table, self.lanes, out
            )
        if logits is not None:
            kernels.logits_rows(plan.sums, self.scale, head.scale, self.lanes, logits)


class _Plan:
    """All calls of one pass over a fixed number of steps, their arguments bound once.

    A decoder makes the same few dozen calls for every step, and should not slice arrays each time.
    Without output the last product is not read: the tokens are context only.
    """

    def __init__(self, group: _Group, steps: int, has_output: bool) -> None:
        self.group, self.model = group, group.model
        self._has_output = has_output
        self.rows = group.lanes * steps
        self.x = group.x[: self.rows]
        self.tokens = np.zeros(self.rows, np.int64)
        self.sums: npt.NDArray[Any] = _NO_SUMS
        self.calls: list[Callable[[], Any]] = []
        self._last: Linear | None = None
        self._embed(steps)
        self._is_fused = self.model.is_fused(self.rows)
        (self._add_fused if self._is_fused else self._add_layers)()

    def _add_fused(self) -> None:
        model, norms = self.model, iter(self.model.norms)
        self._product(model.layers[0]["qkv"], self._enter(next(norms)))
        following = [*(layer["qkv"] for layer in model.layers[1:]), model.output]
        for i, layer in enumerate(model.layers):
            q = self._attend(i)
            self._to_next(layer, following[i], q, next(norms), next(norms))

    def _add_layers(self) -> None:
        norms = iter(self.model.norms)
        for i, layer in enumerate(self.model.layers):
            self._product(layer["qkv"], self._enter(next(norms)))
            self._product(layer["proj"], self._attend(i))
            self._product(layer["up"], self._enter(next(norms)))
            self._product(layer["down"], self._activate(layer["up"], layer["down"]))
        if self._has_output:
            self._product(self.model.output, self._enter(next(norms)))

    def _add(self, function: Callable[..., Any], *args: Any) -> None:
        self.calls.append(functools.partial(function, *args))

    def _embed(self, steps: int) -> None:
        arrays: Any = self.model.weights.arrays
        table = (arrays["token_embedding.q"], arrays["token_embedding.s"])
        self._add(kernels.embed_tokens, self.tokens, *table, self.x)
        if orders := self.model.config.ngram_orders:
            table = (arrays["ngram_embedding.q"], arrays["ngram_embedding.s"])
            by_lane = self.tokens.reshape(self.group.lanes, steps)
            numbers = np.array(orders), self.model.config.ngram_bits
            self._add(kernels.embed_ngrams, by_lane, self.group.recent, *numbers, *table, self.x)
        if self.model.config.positions == "learned":
            table = (arrays["position_embedding.q"], arrays["position_embedding.s"])
            self._add(kernels.embed_positions, self.group.clock, steps, *table, self.x)

    def _quantized(self, depth: int) -> npt.NDArray[Any]:
        return self.group.quantized[: self.rows * depth].reshape(self.rows, depth)

    def _enter(self, norm: tuple[int, Any, Any]) -> npt.NDArray[Any]:
        """Ends the sublayer before, if any; returns the next one's quantized input."""
        config, before, scale = self.model.config, self._last, self.group.scale
        q = self._quantized(config.n_embd)
        ended = (_NO_SUMS, scale, _NOTHING, _NOTHING)
        if before is not None:
            ended = (self.sums, scale, before.scale, before.bias)
        self._add(
            kernels.add_norm_quantize,
            self.x,
            *ended,
            *norm,
            config.norm_eps,
            q,
            *self.model.grid,
        )
        return q

    def _attend(self, i: int) -> npt.NDArray[Any]:
        model, config, group = self.model, self.model.config, self.group
        qkv, q = model.layers[i]["qkv"], self._quantized(model.layers[i]["proj"].depth)
        self._add(
            model.attend, self.sums, group.scale, qkv.scale, qkv.bias, group.lanes, group.clock,
            config.n_head, config.qk_norm, *model.qk_gains[i], config.norm_eps,
            model.cos, model.sin, *group.rings[i], model.windows[i],
            model.attention_table, q, *model.grid,
        )  # fmt: skip
        return q

    def _activate(self, up: Linear, down: Linear) -> npt.NDArray[Any]:
        q = self._quantized(down.depth)
        self._add(
            kernels.activate_quantize, self.sums, self.group.scale, up.scale, up.bias,
            self.model.activation, self.model.logit_table, self.model.normal_tails, q,
            *self.model.grid,
        )  # fmt: skip
        return q

    def _sums(self, linear: Linear) -> npt.NDArray[Any]:
        return self.group.sums[: self.rows * linear.width].reshape(self.rows, linear.width)

    def _product(self, linear: Linear, q: npt.NDArray[Any]) -> None:
        out = self._sums(linear)
        if self._is_fused and isinstance(linear, _Linear):
            self._add(matmul.product, q, linear.panels, linear.offset, False, out)
        else:
            self.calls.append(linear.bind(q, out))
        self.sums, self._last = out, linear

    def _to_next(
        self, layer: dict[str, Any], following: Any, q: npt.NDArray[Any], *norms: Any
    ) -> None:
        model, config = self.model, self.model.config
        proj, up, down = layer["proj"], layer["up"], layer["down"]
        self.sums = self._sums(following)
        self._add(
            matmul.attention_to_next, self.x, self.group.scale, config.norm_eps,
            model.activation, model.logit_table, model.normal_tails, q,
            *proj.fused, self._sums(proj), *norms[0], self._quantized(up.depth),
            *up.fused, self._sums(up), self._quantized(down.depth), *down.fused,
            *norms[1], *following.fused[:2], self.sums,
        )  # fmt: skip


class CpuEngine(BlockEngine):
    """Steps `lanes` streams of one model through the kernels, on `threads` threads."""

    def __init__(self, model: CpuModel, lanes: int, max_steps: int, threads: int) -> None:
        super().__init__(model.config, lanes, max_steps)
        count = max(1, min(threads, lanes))
        bounds = [lanes * i // count for i in range(count + 1)]
        self._slices = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        self._groups = [_Group(model, s.stop - s.start, max_steps) for s in self._slices]
        self._on_one_core: AbstractContextManager[None] = contextlib.nullcontext()
        start_thread = None
        if any(model.uses_pytorch(group.lanes * max_steps) for group in self._groups):
            from lmcompress.gpt.cpu.matmul_torch import OneCore, stay_on_one_core

            self._on_one_core, start_thread = OneCore(), stay_on_one_core
        self._pool = None
        if count > 1:  # groups run side by side, each product on its own core
            self._pool = ThreadPoolExecutor(count - 1, "lmcompress", start_thread)

    def _evaluate_block(
        self,
        tokens: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32] | None,
        logits: npt.NDArray[np.float32] | None,
    ) -> None:
        jobs = [
            functools.partial(
                group.predict,
                tokens[s],
                self.position,
                None if out is None else out[:, s],
                None if logits is None else logits[:, s],
            )
            for group, s in zip(self._groups, self._slices, strict=True)
        ]
        # The first runs here: waking a thread for each step of a decoder takes too long.
        others = [] if self._pool is None else [self._pool.submit(job) for job in jobs[1:]]
        try:
            with self._on_one_core:
                jobs[0]()
        finally:
            wait(others)  # nothing may use these arrays after an error either
        for future in others:
            future.result()

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
