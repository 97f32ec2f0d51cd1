"""Passes over some lanes in one compiled call each; `forward_pass.py` is what is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import kernels
from lmcompress.gpt.cpu.forward_pass import forward_pass
from lmcompress.gpt.cpu.model import CpuModel, Linear
from lmcompress.gpt.cpu.state import State

Array = npt.NDArray[Any]
_NO_FREQS = np.empty((0, 0, 0), np.float32)


class Forward:
    """The compiled pass over some lanes, by one thread or by several that share it."""

    def __init__(self, model: CpuModel, state: State) -> None:
        self.model, self.state = model, state
        self.counter = np.zeros(1, np.int64)
        head_dim = model.config.head_dim
        self.kernel = forward_pass(head_dim, has_int16_inputs=model.has_int16_inputs)
        self._constants = _constants(model)

    def run(
        self,
        tokens: npt.NDArray[np.int64],
        freqs: npt.NDArray[np.float32] | None,
        logits: npt.NDArray[np.float32] | None,
        *,
        first_lane: int = 0,
        thread: int = 0,
        threads: int = 1,
    ) -> None:
        """Reads tokens (lanes, steps); fills what is given, (steps, all lanes, V), from first_lane.

        Of several threads, each calls it once with the counter at 0, and fills a part.
        """
        state, lanes = self.state, self.state.lanes
        flat = np.ascontiguousarray(tokens).reshape(-1)
        rows, has_output = len(flat), freqs is not None or logits is not None
        self.kernel(
            thread, threads, self.counter.ctypes.data, lanes, state.clock, flat, state.recent,
            has_output, _NO_FREQS if freqs is None else freqs, first_lane, *self._constants,
            tuple(state.rings), state.x[:rows], state.scale[:rows], state.quantized, state.sums,
            state.queries, state.query_scales, state.seen,
        )  # fmt: skip
        if logits is None:
            return
        low, high = (lanes * i // threads for i in (thread, thread + 1))
        steps, head = rows // lanes, self.model.output
        part = slice(low * steps, high * steps)
        sums = state.sums_of(rows, head.width)[part]
        out = logits[:, first_lane + low : first_lane + high]
        if high > low:
            kernels.logits_rows(sums, state.scale[part], head.scale, high - low, out)


def _constants(model: CpuModel) -> tuple[Any, ...]:
    """Returns what stays the same from pass to pass, as the kernel takes it."""
    config, arrays = model.config, model.weights.arrays

    def table(name: str) -> tuple[Array, Array]:
        """Returns rows and their scales; none of them if the model has no such table."""
        found = arrays.get(f"{name}.q"), arrays.get(f"{name}.s")
        q, s = (arrays["token_embedding.q"][:0], arrays["token_embedding.s"][:0])
        return (q, s) if found[0] is None or found[1] is None else (found[0], found[1])

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
        model.logit_table, model.normal_tails, model.grid,
    )  # fmt: skip


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
