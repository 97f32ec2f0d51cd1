"""Passes over some lanes in one compiled call each; `forward_pass.py` is what is called."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import barrier, kernels
from lmcompress.gpt.cpu.forward_pass import forward_pass
from lmcompress.gpt.cpu.model import CpuModel, Linear
from lmcompress.gpt.cpu.state import State

Array = npt.NDArray[Any]


class Share(NamedTuple):
    """Which of the threads that share a pass: they meet at a counter, 0 before the pass."""

    thread: int
    threads: int
    counter: npt.NDArray[np.int64]


class Forward:
    """The compiled pass over some lanes, from the first one on, or a thread's share of it."""

    def __init__(
        self, model: CpuModel, state: State, *, first_lane: int = 0, share: Share | None = None
    ) -> None:
        self.model, self.state, self.first_lane = model, state, first_lane
        self.share = share or Share(0, 1, np.zeros(1, np.int64))
        head_dim = model.config.head_dim
        self.kernel = forward_pass(head_dim, has_int16_inputs=model.has_int16_inputs)
        self._constants = _read_only(_constants(model))
        self._scratch = (
            tuple(state.rings), state.x, state.scale, state.quantized, state.sums, state.queries,
            state.query_scales, state.seen,
        )  # fmt: skip

    def begin(self) -> None:
        """Begins a pass, before any thread runs its part of it."""
        self.share.counter[0] = 0

    def run(
        self, orders: npt.NDArray[np.int64], progress: npt.NDArray[np.int64], *, follows: bool
    ) -> None:
        """Evaluates a pass, or follows, pass after pass, until none was ordered for long.

        `orders.py` says what is ordered, `barrier.is_ordered` what progress is.
        """
        thread, threads, counter = self.share
        self.kernel(
            orders, progress, follows, thread, threads, counter.ctypes.data, self.first_lane,
            self.state.lanes, self.state.recent, *self._constants, *self._scratch,
        )  # fmt: skip

    def give_up(self) -> None:
        """After an error: has nobody wait for this thread."""
        self.share.counter[0] = barrier.OPEN

    def logits(self, out: npt.NDArray[np.float32]) -> None:
        """Fills out (steps, lanes, V) with the logits of the last pass, which had output."""
        (steps, lanes), head = out.shape[:2], self.model.output
        rows = steps * lanes
        sums = self.state.sums_of(rows, head.width)
        kernels.logits_rows(sums, self.state.scale[:rows], head.scale, lanes, out)


def _constants(model: CpuModel) -> tuple[Any, ...]:
    """Returns what stays the same from pass to pass, as the kernel takes it."""
    config, arrays = model.config, model.weights.arrays

    def table(name: str) -> tuple[Array, Array]:
        """Returns rows and their scales; none of them if the model has no such table."""
        if f"{name}.q" in arrays:
            return arrays[f"{name}.q"], arrays[f"{name}.s"]
        return arrays["token_embedding.q"][:0], arrays["token_embedding.s"][:0]

    products = [
        _product([layer[name] for layer in model.layers]) for name in ("qkv", "proj", "up", "down")
    ]
    kinds, gains, biases = zip(*model.norms, strict=True)
    q_gains, k_gains = zip(*model.qk_gains, strict=True)
    heads = config.n_head, config.n_kv_head, config.qk_norm, _stack(q_gains), _stack(k_gains)
    ngrams = np.array(config.ngram_orders, np.int64), config.ngram_bits
    return (
        table("token_embedding"), (*ngrams, *table("ngram_embedding")), table("position_embedding"),
        *products, _product([model.output]), np.array(kinds, np.int64), _stack(gains),
        _stack(biases), config.norm_eps, heads, (model.cos, model.sin),
        np.array(model.windows, np.int64), model.attention_table, model.activation,
        model.logit_table, model.normal_tails, model.grid, model.symbols,
    )  # fmt: skip


def _read_only(value: Any) -> Any:
    """Returns tuples of arrays that all cannot be written to: one type of kernel for all models."""
    if isinstance(value, tuple):
        return tuple(map(_read_only, value))
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    return value


def _product(linears: list[Linear]) -> tuple[Array, Array, Array, int]:
    """Returns the addresses of the layers' weights, their scales, biases and depth."""
    for linear in linears:
        assert linear.panels.flags.c_contiguous
    at = np.array([linear.panels.ctypes.data for linear in linears], np.int64)
    scales = np.stack([linear.scale for linear in linears])
    return at, scales, _stack([linear.bias for linear in linears]), linears[0].depth


def _stack(rows: Any) -> npt.NDArray[np.float32]:
    """Returns rows of equal length; where some have none, nobody looks at what stands there."""
    width = max(map(len, rows))
    return np.stack([row if len(row) else np.zeros(width, np.float32) for row in rows])
