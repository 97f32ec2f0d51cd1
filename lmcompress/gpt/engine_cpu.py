"""Fast exact evaluation on the CPU: int8 products by PyTorch, numba kernels between them.

Lanes are split into groups, one a thread, that share nothing but weights: no thread waits inside a
step, and each product runs on its own core.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lmcompress.gpt import exact, kernels_cpu
from lmcompress.gpt.integers import exp2_table
from lmcompress.gpt.quantization import MAX_ACTIVATION, ExactWeights

_ACTIVATIONS = {
    "relu2": kernels_cpu.RELU2,
    "gelu": kernels_cpu.GELU,
    "swiglu": kernels_cpu.SWIGLU,
}
_NOTHING = np.empty(0, np.float32)
_NO_TABLE = np.empty((0, 0), np.float32)


class _Linear:
    """Weights of one product, laid out once; `product` gives exact int32 sums."""

    def __init__(self, weights: ExactWeights, name: str) -> None:
        q, self.scale, bias = weights.linear(name)
        self.bias = _NOTHING if bias is None else bias
        self.width, self.depth = q.shape
        bound = MAX_ACTIVATION * int(np.abs(q.astype(np.int64)).sum(1).max())
        self.is_int8 = exact.int8_product_is_exact("cpu")
        if self.is_int8:
            self.weight = torch.tensor(q).T.contiguous()  # (K, N)
        else:
            dtype = torch.float32 if bound < 1 << 24 else torch.float64
            self.weight = torch.tensor(q).to(dtype).T.contiguous()

    def product(self, q: torch.Tensor, out: torch.Tensor) -> npt.NDArray[np.int32]:
        """Writes q (M, K) int8 times the weights into out (M, N) int32."""
        if self.is_int8:
            torch._int_mm(q, self.weight, out=out)
        else:
            out.copy_(torch.mm(q.to(self.weight.dtype), self.weight))
        return out.numpy()


@dataclasses.dataclass
class _Layer:
    """One block's products, norms and attention window."""

    qkv: _Linear
    proj: _Linear
    up: _Linear
    down: _Linear
    norms: tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], ...]
    window: int


class CpuModel:
    """A quantized GPT ready for the kernels; shared by all groups of lanes."""

    def __init__(self, weights: ExactWeights) -> None:
        config = weights.config
        self.weights, self.config = weights, config
        self.layers = [
            self._layer(f"blocks.{i}", window or config.context_length)
            for i, window in enumerate(config.attention_windows)
        ]
        self.final_norm = self._norm("final_norm")
        self.output = _Linear(weights, "token_embedding" if config.tied else "output")
        rotary = weights.rotary()
        self.cos, self.sin = (_NO_TABLE, _NO_TABLE) if rotary is None else rotary
        self.split, self.attend = kernels_cpu.attention_kernels(config.head_dim)
        self.attention_table = exp2_table(exact.ATTENTION_SCALE_BITS).astype(np.int32)
        self.logit_table = exp2_table(exact.LOGIT_SCALE_BITS)
        self.activation = _ACTIVATIONS[config.activation]

    def _layer(self, block: str, window: int) -> _Layer:
        qkv, proj, up, down = (
            _Linear(self.weights, f"{block}.{name}") for name in ("qkv", "proj", "up", "down")
        )
        norms = tuple(self._norm(f"{block}.{name}") for name in ("norm_1", "norm_2"))
        return _Layer(qkv, proj, up, down, norms, window)

    def _norm(self, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        arrays = self.weights.arrays
        return arrays.get(f"{name}.gain", _NOTHING), arrays.get(f"{name}.bias", _NOTHING)  # type: ignore[return-value]


@functools.lru_cache(maxsize=4)
def cpu_model(weights: ExactWeights) -> CpuModel:
    """Returns the model laid out for the kernels; made once for each set of weights."""
    return CpuModel(weights)


class _Group:
    """State and scratch of some lanes, evaluated on one thread."""

    def __init__(self, model: CpuModel, lanes: int, max_steps: int) -> None:
        config = model.config
        self.model, self.lanes, self.max_steps = model, lanes, max_steps
        rows, D = lanes * max_steps, config.head_dim
        self.x = np.empty((rows, config.n_embd), np.float32)
        self.y = np.empty((rows, max(config.n_embd, config.n_head * D)), np.float32)
        self.h = np.empty((rows, config.mlp_hidden), np.float32)
        self.q = np.empty((rows, config.n_head, D), np.int8)
        self.q_scale = np.empty((rows, config.n_head), np.float32)
        self.scale = np.empty(rows, np.float32)
        widest = max(config.n_embd, config.n_head * D, config.mlp_hidden)
        self.quantized = torch.empty(rows * widest, dtype=torch.int8)
        layers = model.layers
        widest = max(config.vocab_size, *(p.width for y in layers for p in (y.qkv, y.proj, y.up)))
        self.sums = torch.empty(rows * widest, dtype=torch.int32)
        self.rings = []
        for layer in layers:
            # A block's keys enter before its first query looks: room for both.
            shape = (lanes, config.n_kv_head, layer.window + max_steps - 1)
            self.rings.append(
                tuple(
                    array
                    for _ in range(2)
                    for array in (np.zeros((*shape, D), np.int8), np.zeros(shape, np.float32))
                )
            )

    def predict(
        self,
        tokens: npt.NDArray[np.int64],
        position: int,
        out: npt.NDArray[np.float32],
        logits: npt.NDArray[np.float32] | None,
    ) -> None:
        """Reads tokens (lanes, steps); fills out (and logits) of shape (steps, lanes, V)."""
        torch.set_num_threads(1)  # of this thread: groups run side by side
        model, config = self.model, self.model.config
        steps = tokens.shape[1]
        rows = self.lanes * steps
        x = self.x[:rows]
        arrays: Any = model.weights.arrays
        name = "token_embedding"
        flat = np.ascontiguousarray(tokens).reshape(-1)
        kernels_cpu.embed(flat, arrays[f"{name}.q"], arrays[f"{name}.s"], False, x)
        if config.positions == "learned":
            name = "position_embedding"
            positions = np.tile(np.arange(position, position + steps), self.lanes)
            kernels_cpu.embed(positions, arrays[f"{name}.q"], arrays[f"{name}.s"], True, x)
        for layer, ring in zip(model.layers, self.rings, strict=True):
            self._block(layer, ring, x, position)
        normed = x
        if config.norm_position == "pre":
            normed = self._norm(x, model.final_norm)
        sums, scale = self._product(normed, model.output)
        kernels_cpu.weights_from_logits(
            sums, scale, model.output.scale, model.logit_table, self.lanes, out
        )
        if logits is not None:
            kernels_cpu.logits_rows(sums, scale, model.output.scale, self.lanes, logits)

    def _norm(self, x: npt.NDArray[np.float32], norm: Any) -> npt.NDArray[np.float32]:
        config = self.model.config
        y = self.y.reshape(-1)[: x.size].reshape(x.shape)
        kernels_cpu.norm_rows(x, *norm, config.norm_eps, config.norm == "layernorm", y)
        return y

    def _product(
        self, x: npt.NDArray[np.float32], linear: _Linear
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        rows = len(x)
        q = self.quantized[: x.size].view(x.shape)
        kernels_cpu.quantize_rows(x, q.numpy(), self.scale)
        out = self.sums[: rows * linear.width].view(rows, linear.width)
        return linear.product(q, out), self.scale

    def _block(self, layer: _Layer, ring: Any, x: npt.NDArray[np.float32], position: int) -> None:
        is_pre_norm = self.model.config.norm_position == "pre"
        sublayers = (self._attention, self._mlp)
        for norm, sublayer in zip(layer.norms, sublayers, strict=True):
            source = self._norm(x, norm) if is_pre_norm else x
            linear, sums = sublayer(layer, ring, source, position)
            kernels_cpu.add_product(x, sums, self.scale, linear.scale, linear.bias)
            if not is_pre_norm:
                x[:] = self._norm(x, norm)

    def _attention(
        self, layer: _Layer, ring: Any, x: npt.NDArray[np.float32], position: int
    ) -> tuple[_Linear, npt.NDArray[np.int32]]:
        model, config, lanes = self.model, self.model.config, self.lanes
        sums, scale = self._product(x, layer.qkv)
        q, q_scale = self.q[: len(x)], self.q_scale[: len(x)]
        model.split(
            sums, scale, layer.qkv.scale, layer.qkv.bias, lanes, position,
            config.qk_norm, config.norm_eps, model.cos, model.sin, q, q_scale, *ring,
        )  # fmt: skip
        y = self.y.reshape(-1)[: len(x) * layer.proj.depth].reshape(len(x), -1)
        model.attend(q, q_scale, *ring, lanes, position, layer.window, model.attention_table, y)
        return layer.proj, self._product(y, layer.proj)[0]

    def _mlp(
        self, layer: _Layer, _ring: Any, x: npt.NDArray[np.float32], _position: int
    ) -> tuple[_Linear, npt.NDArray[np.int32]]:
        model, rows = self.model, len(x)
        sums, scale = self._product(x, layer.up)
        h = self.h[:rows]
        q = self.quantized[: h.size].view(h.shape)
        kernels_cpu.activate_rows(
            sums, scale, layer.up.scale, layer.up.bias, model.activation,
            model.logit_table, h, q.numpy(), self.scale,
        )  # fmt: skip
        out = self.sums[: rows * layer.down.width].view(rows, layer.down.width)
        return layer.down, layer.down.product(q, out)


class CpuEngine:
    """Steps `lanes` streams of one model through the kernels, on `threads` threads."""

    def __init__(self, model: CpuModel, lanes: int, max_steps: int, threads: int) -> None:
        self.config, self.lanes, self.max_steps = model.config, lanes, max_steps
        self.position = 0
        count = max(1, min(threads, lanes))
        bounds = [lanes * i // count for i in range(count + 1)]
        self._slices = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        self._groups = [_Group(model, s.stop - s.start, max_steps) for s in self._slices]
        self._pool = ThreadPoolExecutor(count, "lmcompress") if count > 1 else None

    def reset(self) -> None:
        """Forgets all tokens."""
        self.position = 0

    def predict(
        self, tokens: npt.NDArray[np.int64], logits: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Returns weights (steps, lanes, vocab_size) after each of tokens (lanes, steps).

        `logits`, if given, is filled with the exact logits, of the same shape.
        """
        out = np.empty((tokens.shape[1], self.lanes, self.config.vocab_size), np.float32)
        for start in range(0, tokens.shape[1], self.max_steps):
            part = slice(start, start + self.max_steps)
            self._predict_block(
                tokens[:, part], out[part], None if logits is None else logits[part]
            )
        return out

    def _predict_block(
        self,
        tokens: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        logits: npt.NDArray[np.float32] | None,
    ) -> None:
        jobs = [
            functools.partial(
                group.predict,
                tokens[s],
                self.position,
                out[:, s],
                None if logits is None else logits[:, s],
            )
            for group, s in zip(self._groups, self._slices, strict=True)
        ]
        if self._pool is None:
            jobs[0]()
        else:
            for future in [self._pool.submit(job) for job in jobs]:
                future.result()
        self.position += tokens.shape[1]

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
