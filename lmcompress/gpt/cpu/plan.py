"""A pass through the network as calls one by one, where PyTorch computes some of the products."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import kernels
from lmcompress.gpt.cpu.model import CpuModel, Linear
from lmcompress.gpt.cpu.numerators import sums_from_logits
from lmcompress.gpt.cpu.rings import rings_of_layer
from lmcompress.gpt.cpu.state import State
from lmcompress.gpt.engine import Outputs

_NOTHING = np.empty(0, np.float32)
_NO_SUMS = np.empty((0, 0), np.int32)


class Plan:
    """All calls of one pass over a fixed number of steps, their arguments bound once.

    Without output the last product is not read: the tokens are context only.
    """

    def __init__(self, model: CpuModel, state: State, steps: int, has_output: bool) -> None:
        self.model, self.state = model, state
        self._has_output = has_output
        self.rows = state.lanes * steps
        self.x = state.x[: self.rows]
        self.tokens = np.zeros(self.rows, np.int64)
        self.sums: npt.NDArray[Any] = _NO_SUMS
        self.calls: list[Callable[[], Any]] = []
        self._last: Linear | None = None
        self._embed(steps)
        self._add_layers()

    def run(self, tokens: npt.NDArray[np.int64], outputs: Outputs) -> None:
        """Reads tokens (lanes, steps); fills the outputs of these lanes."""
        self.tokens[:] = tokens.reshape(-1)
        for call in self.calls:
            call()
        lanes, head = self.state.lanes, self.model.output
        args = self.sums, self.state.scale, head.scale
        if outputs.freqs is not None:
            kernels.freqs_from_logits(*args, self.model.logit_table, lanes, outputs.freqs)
        if outputs.sums is not None:
            sums_from_logits(*args, *self.model.symbols, lanes, outputs.sums)
        if outputs.logits is not None:
            kernels.logits_rows(*args, lanes, outputs.logits)

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
            by_lane = self.tokens.reshape(self.state.lanes, steps)
            numbers = np.array(orders), self.model.config.ngram_bits
            self._add(kernels.embed_ngrams, by_lane, self.state.recent, *numbers, *table, self.x)
        if self.model.config.positions == "learned":
            table = (arrays["position_embedding.q"], arrays["position_embedding.s"])
            self._add(kernels.embed_positions, self.state.clock, steps, *table, self.x)

    def _quantized(self, depth: int) -> npt.NDArray[Any]:
        return self.state.quantized[: self.rows * depth].reshape(self.rows, depth)

    def _enter(self, norm: tuple[int, Any, Any]) -> npt.NDArray[Any]:
        """Ends the sublayer before, if any; returns the next one's quantized input."""
        config, before, scale = self.model.config, self._last, self.state.scale
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
        model, config, state = self.model, self.model.config, self.state
        qkv, q = model.layers[i]["qkv"], self._quantized(model.layers[i]["proj"].depth)
        rings = rings_of_layer(state.rings, i, state.lanes, config.n_kv_head, config.head_dim)
        self._add(
            model.attend, self.sums, state.scale, qkv.scale, qkv.bias, state.lanes, state.clock,
            config.n_head, config.qk_norm, *model.qk_gains[i], config.norm_eps,
            model.cos, model.sin, *rings, model.windows[i], model.attention_table, q, *model.grid,
        )  # fmt: skip
        return q

    def _activate(self, up: Linear, down: Linear) -> npt.NDArray[Any]:
        q = self._quantized(down.depth)
        self._add(
            kernels.activate_quantize, self.sums, self.state.scale, up.scale, up.bias,
            self.model.activation, self.model.logit_table, self.model.normal_tails, q,
            *self.model.grid,
        )  # fmt: skip
        return q

    def _product(self, linear: Linear, q: npt.NDArray[Any]) -> None:
        out = self.state.sums_of(self.rows, linear.width)
        self.calls.append(linear.bind(q, out))
        self.sums, self._last = out, linear
