"""Fast exact evaluation on a GPU: int8 products on tensor cores, Triton kernels between them.

Every buffer is allocated once. One pass over a given number of steps is a fixed list of launches,
kept as a CUDA graph after its first run: the position is a number on the device, so one graph
serves all positions. Frequencies cross the bus while the next steps are computed.

On the CPU the same launches run in Triton's interpreter, which is how tests check their bits.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
from torch import Tensor

from lmcompress.gpt import constants
from lmcompress.gpt.cuda import attention, kernels
from lmcompress.gpt.cuda.kernels import launch, launch_rows
from lmcompress.gpt.cuda.matmul import product_for
from lmcompress.gpt.cuda.transfer import Transfer
from lmcompress.gpt.cuda.weights import CudaModel, DeviceLinear, norm_numerator
from lmcompress.gpt.ngrams import ngram_rows

CHUNK_ROWS = 8192
"""Rows (lanes x steps) of one pass, unless there are more lanes: enough to fill a large GPU."""
_VOCAB_BLOCK = 1024
_KEY_BLOCK = 64
_QUERY_BLOCK = 32
"""Not 64: Triton 3.7.1 fails to compile the warp-group products that this gives on Hopper."""
_PASSES = threading.Lock()
"""Segments that are coded at once share the GPU, one pass after the other: nothing else is launched
while a graph is captured."""
_ACTIVATIONS = {
    "relu2": kernels.RELU2.value,
    "gelu": kernels.GELU.value,
    "swiglu": kernels.SWIGLU.value,
}


class _State:
    """Caches and scratch of all lanes, for passes of at most `max_steps` steps."""

    def __init__(self, model: CudaModel, lanes: int, max_steps: int) -> None:
        config, rows = model.config, lanes * max_steps
        self.model, self.lanes = model, lanes
        self._device = model.device
        linears = [y for layer in model.layers for y in layer.values()] + [model.output]
        self.clock = self._new(1, dtype=torch.int64)
        """Tokens read before this pass."""
        self.x = self._new(rows, config.n_embd)
        self.scale = self._new(rows)
        product_rows = rows * model.digits
        self.quantized = self._new(product_rows * max(y.depth for y in linears), dtype=torch.int8)
        self.sums = self._new(product_rows * max(y.width for y in linears), dtype=torch.int32)
        self.queries = self._new(rows, config.n_head, config.head_dim, dtype=torch.int8)
        self.query_scales = self._new(rows, config.n_head)
        self.attended = self._new(rows, config.n_head * config.head_dim)
        self.rings = []
        for window in model.windows:
            # A pass's keys enter before its first query looks: room for both.
            shape = (lanes, config.n_kv_head, window + max_steps - 1)
            keys, values = (self._new(*shape, config.head_dim, dtype=torch.int8) for _ in range(2))
            self.rings.append((keys, self._new(*shape), values, self._new(*shape)))

    @functools.cached_property
    def freqs(self) -> Tensor:
        """Room for a pass's frequencies, taken when they are first asked for."""
        return self._new(len(self.scale) * self.model.config.vocab_size)

    def _new(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self._device)


class _Plan:
    """All launches of one pass over a fixed number of steps, their arguments bound once.

    They end in frequencies, or in sums of which only logits are made.
    """

    def __init__(self, state: _State, steps: int, *, with_freqs: bool, graph: bool) -> None:
        self._state, self._model = state, state.model
        self._steps, self._rows = steps, state.lanes * steps
        self._product_rows = self._rows * state.model.digits
        orders = len(state.model.config.ngram_orders)
        self.tokens, self.ngrams = (
            torch.zeros(size, dtype=torch.int64, device=state.model.device)
            for size in (self._rows, self._rows * orders)
        )
        self._calls: list[Callable[[], None]] = []
        self._wants_graph, self._has_run = graph, False
        self._graph: torch.cuda.CUDAGraph | None = None
        norms = iter(self._model.norms)
        self._product(self._model.layers[0]["qkv"], self._embed(*next(norms)))
        entries = [*(layer["qkv"] for layer in self._model.layers[1:]), self._model.output]
        for i, (layer, following) in enumerate(zip(self._model.layers, entries, strict=True)):
            self._product(layer["proj"], self._attend(i))
            self._product(layer["up"], self._add(layer["proj"], *next(norms)))
            self._product(layer["down"], self._activate(layer["up"], layer["down"]))
            self._product(following, self._add(layer["down"], *next(norms)))
        if with_freqs:
            self.freqs = self._frequencies()

    def run(self) -> None:
        """Computes what follows `tokens`; fills `freqs` (steps, lanes, vocab_size), if wanted."""
        if self._graph is None and self._wants_graph and self._has_run:  # the first run compiled
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._launch_all()
        if self._graph is None:
            self._launch_all()
            self._has_run = True
        else:
            self._graph.replay()

    def logits(self) -> Tensor:
        """Returns the last run's logits (steps, lanes, vocab_size)."""
        head = self._model.output
        sums = self._sums(head)
        if self._model.digits == 2:
            low, high = sums.view(2, self._rows, head.width).long()
            sums = (high << kernels.DIGIT_BITS.value) + low
        logits = (sums.float() * self._state.scale[: self._rows, None]) * head.scale
        return logits.view(self._state.lanes, self._steps, -1).transpose(0, 1)

    def _launch_all(self) -> None:
        for call in self._calls:
            call()

    def _launch(self, kernel: Any, *args: Any, **constants: Any) -> None:
        """Adds a launch over all rows."""
        self._calls.append(functools.partial(launch_rows, kernel, self._rows, *args, **constants))

    def _quantized(self, depth: int) -> Tensor:
        return self._state.quantized[: self._product_rows * depth].view(-1, depth)

    def _sums(self, linear: DeviceLinear) -> Tensor:
        return self._state.sums[: self._product_rows * linear.width].view(-1, linear.width)

    def _product(self, linear: DeviceLinear, q: Tensor) -> None:
        product = product_for(self._product_rows, linear.width, linear.depth, self._model.device)
        self._calls.append(functools.partial(product, q, linear.weight, self._sums(linear)))

    def _embed(self, gain: Tensor, bias: Tensor, constants: dict[str, Any]) -> Tensor:
        model, state = self._model, self._state
        width, tokens = model.config.n_embd, model.tokens
        positions, ngrams = model.positions, model.ngrams
        q = self._quantized(width)
        self._launch(
            kernels.embed, self.tokens, state.clock, tokens.weight, tokens.scale,
            positions.weight, positions.scale, self.ngrams, ngrams.weight, ngrams.scale, state.x,
            q, state.scale, gain, bias, model.eps_sum, self._steps, width,
            POSITIONS=model.config.positions == "learned", ORDERS=len(model.config.ngram_orders),
            **constants,
        )  # fmt: skip
        return q

    def _add(
        self, linear: DeviceLinear, gain: Tensor, bias: Tensor, constants: dict[str, Any]
    ) -> Tensor:
        """Ends the sublayer that `linear` is the last product of; returns the next one's input."""
        state = self._state
        q = self._quantized(linear.width)
        self._launch(
            kernels.add, self._sums(linear), state.scale, linear.scale, linear.bias,
            state.x, q, gain, bias, self._model.eps_sum, linear.width,
            HAS_SUM_BIAS=linear.has_bias, **constants,
        )  # fmt: skip
        return q

    def _activate(self, up: DeviceLinear, down: DeviceLinear) -> Tensor:
        q, block = self._quantized(down.depth), triton.next_power_of_2(down.depth)
        self._launch(
            kernels.activate, self._sums(up), self._state.scale, up.scale, up.bias,
            self._model.logit_table, q, down.depth, BLOCK=block, HAS_BIAS=up.has_bias,
            ACTIVATION=_ACTIVATIONS[self._model.config.activation], **self._model.levels,
        )  # fmt: skip
        return q

    def _attend(self, i: int) -> Tensor:
        """Adds the launches from the qkv product of layer i to the input of its `proj`."""
        model, state, config = self._model, self._state, self._model.config
        qkv, ring, D = model.layers[i]["qkv"], state.rings[i], config.head_dim
        heads = {"HEADS": config.n_head, "KV_HEADS": config.n_kv_head, "D": D}
        head_block, half_block = map(triton.next_power_of_2, (config.n_head, D // 2))
        self._launch(
            attention.split, self._sums(qkv), state.scale, qkv.scale, qkv.bias, state.clock,
            *model.rotary, model.head_eps_sum, state.queries, state.query_scales, *ring,
            self._steps, ring[0].shape[2], len(model.rotary[0]), qkv.width, **heads,
            BLOCK=2 * head_block * half_block, HEAD_BLOCK=head_block, HALF_BLOCK=half_block,
            KV_BLOCK=triton.next_power_of_2(config.n_kv_head), HAS_BIAS=qkv.has_bias,
            LEVELS=model.levels["LEVELS"], UNIT=config.qk_norm,
            ROTARY=config.positions == "rotary", NUMERATOR=norm_numerator(D),
            QUERY_SCALE=constants.as_float32(constants.EXPONENT_PER_NAT / math.sqrt(D)),
        )  # fmt: skip
        self._attend_to_ring(model.windows[i], ring, heads)
        width = config.n_head * D
        q, columns = self._quantized(width), triton.next_power_of_2(width)
        self._launch(
            kernels.quantize, state.attended, q, state.scale, width, BLOCK=columns, **model.levels,
        )  # fmt: skip
        return q

    def _attend_to_ring(self, window: int, ring: tuple[Tensor, ...], heads: dict[str, int]) -> None:
        state = self._state
        group = triton.next_power_of_2(heads["HEADS"] // heads["KV_HEADS"])
        queries = 16 if self._steps * group <= 16 else _QUERY_BLOCK
        block = max(1, queries // group)
        tiles = triton.cdiv(self._steps, block)
        bound = functools.partial(
            launch, attention.attend, (tiles * heads["KV_HEADS"] * state.lanes,),
            state.queries, state.query_scales, *ring, state.clock, self._model.attention_table,
            state.attended, self._steps, window, ring[0].shape[2], tiles, **heads,
            BLOCK_T=block, GROUP_BLOCK=group, BLOCK_S=_KEY_BLOCK,
            BLOCK_D=max(32, triton.next_power_of_2(heads["D"])),
            warps=2 if block * group > _QUERY_BLOCK else 4,  # no warp groups: see _QUERY_BLOCK
        )  # fmt: skip
        self._calls.append(bound)

    def _frequencies(self) -> Tensor:
        model, state, head = self._model, self._state, self._model.output
        freqs = state.freqs[: self._rows * head.width].view(self._steps, state.lanes, head.width)
        block = min(_VOCAB_BLOCK, triton.next_power_of_2(head.width))
        self._launch(
            kernels.frequencies, self._sums(head), state.scale, head.scale,
            model.logit_table, freqs, state.lanes, self._steps, head.width, BLOCK=block,
            LEVELS=model.levels["LEVELS"],
        )  # fmt: skip
        return freqs


class CudaEngine:
    """Steps `lanes` streams of one model through the kernels."""

    def __init__(
        self, model: CudaModel, lanes: int, max_steps: int, *, graphs: bool = True
    ) -> None:
        self.max_steps = max(1, min(max_steps, CHUNK_ROWS // lanes))
        self._model, self._lanes = model, lanes
        self._graphs = graphs and model.device.type == "cuda"
        self._state = _State(model, lanes, self.max_steps)
        self._plans: dict[tuple[int, bool], _Plan] = {}
        self._transfer = Transfer(model.device)
        self.reset()

    def reset(self) -> None:
        """Forgets all tokens."""
        self.position, config = 0, self._model.config
        depth = max(config.ngram_orders, default=1) - 1
        self._recent = np.full((self._lanes, depth), config.bos_id, np.int64)

    @torch.no_grad()
    def predict(
        self, tokens: npt.NDArray[np.int64], logits: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Returns freqs (steps, lanes, vocab_size) after each of tokens (lanes, steps).

        `logits`, if given, is filled with the exact logits, of the same shape.
        """
        shape = (tokens.shape[1], self._lanes, self._model.config.vocab_size)
        out = self._transfer.new_array(shape)
        for start in range(0, tokens.shape[1], self.max_steps):
            part = slice(start, start + self.max_steps)
            plan = self._pass(tokens[:, part], with_freqs=True)
            self._transfer.send(plan.freqs, out[part])
            if logits is not None:
                logits[part] = plan.logits().cpu().numpy()
        self._transfer.wait()
        return out.numpy()

    @torch.no_grad()
    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Returns exact logits (steps, lanes, vocab_size) after each of tokens (lanes, steps)."""
        starts = range(0, tokens.shape[1], self.max_steps)
        parts = [self._pass(tokens[:, s : s + self.max_steps]).logits().cpu() for s in starts]
        return torch.cat(parts).numpy()

    @torch.no_grad()
    def device_logits(self, tokens: npt.NDArray[np.int64]) -> Tensor:
        """Returns the same, left on the device."""
        starts = range(0, tokens.shape[1], self.max_steps)
        parts = [self._pass(tokens[:, s : s + self.max_steps]).logits() for s in starts]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    @torch.no_grad()
    def read(self, tokens: npt.NDArray[np.int64]) -> None:
        """Reads tokens (lanes, steps) for those that come after them."""
        for start in range(0, tokens.shape[1], self.max_steps):
            self._pass(tokens[:, start : start + self.max_steps])

    def _pass(self, tokens: npt.NDArray[np.int64], *, with_freqs: bool = False) -> _Plan:
        steps, config = tokens.shape[1], self._model.config
        end = self.position + steps
        if config.positions == "learned" and end > config.context_length:
            raise ValueError(f"position {end} is past the context of {config.context_length}")
        with _PASSES:
            plan = self._plan(steps, with_freqs)
            self._state.clock.fill_(self.position)
            plan.tokens.copy_(torch.from_numpy(np.ascontiguousarray(tokens).reshape(-1)))
            if config.ngram_orders:
                plan.ngrams.copy_(torch.from_numpy(self._ngram_rows(tokens)))
            plan.run()
        self.position = end
        return plan

    def _plan(self, steps: int, with_freqs: bool) -> _Plan:
        key = steps, with_freqs
        if key not in self._plans:
            self._plans[key] = _Plan(self._state, steps, with_freqs=with_freqs, graph=self._graphs)
        return self._plans[key]

    def _ngram_rows(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the n-gram table's rows of tokens (lanes, steps), flat; keeps the last tokens."""
        config = self._model.config
        padded = np.concatenate((self._recent, tokens), axis=1)
        self._recent = padded[:, tokens.shape[1] :]
        return np.stack(ngram_rows(padded, config.ngram_orders, config.ngram_bits), -1).reshape(-1)

    def close(self) -> None:
        """Drops buffers and graphs."""
        self._plans.clear()
