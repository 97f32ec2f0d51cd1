"""Tensor parallelism on the CPU: threads share each product (Shoeybi et al., 2019).

`engine.py` gives each thread lanes of its own, so each reads all weights at every step, and one
lane has one thread. Where weights do not fit the caches, reading them is what takes the time of a
decoder's step: here each thread reads its part of them, for all lanes. Threads wait for each other,
which costs more than it gives on a machine that is busy, or where lanes are many.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import barrier, kernels
from lmcompress.gpt.cpu.engine import CpuModel
from lmcompress.gpt.cpu.matmul_int16 import Int16Linear
from lmcompress.gpt.cpu.rings import new_rings
from lmcompress.gpt.cpu.tensor_parallel_kernel import tensor_parallel_pass
from lmcompress.gpt.engine import BlockEngine
from lmcompress.system.cpus import usable_cpus

LARGE_BYTES = 16 << 20
"""Weights from which on sharing products is faster: they do not fit the caches of a core or two."""


def fits(model: CpuModel) -> bool:
    """Whether threads can share this model's products: our 16-bit kernels, equal windows."""
    if model.config.ngram_orders:
        return False
    has_kernels = all(isinstance(y, Int16Linear) and y.has_kernel for y in model.linears)
    return has_kernels and len(set(model.windows)) == 1 and barrier.IS_USABLE


def pays(model: CpuModel, lanes: int, threads: int) -> bool:
    """Whether it is faster than lanes side by side, as measured with 135 MB of weights.

    On two cores, one lane: decoding 1.6 times, encoding 1.5 times as fast. With two lanes a thread
    decoding still gains a fifth, but encoding loses as much.
    """
    return lanes <= threads and sum(y.rows.nbytes for y in model.linears) >= LARGE_BYTES


def thread_count(threads: int) -> int:
    """Returns how many of so many threads have a core here; more would spin for each other."""
    return min(threads, usable_cpus())


class TensorParallelEngine(BlockEngine):
    """Steps `lanes` streams of one model, all threads through the same products."""

    def __init__(self, model: CpuModel, lanes: int, max_steps: int, threads: int) -> None:
        """Takes a model that `fits`."""
        config = model.config
        super().__init__(config, lanes, max_steps)
        self._model, self._threads = model, threads
        self._counter, self._clock = np.zeros(1, np.int64), np.zeros(1, np.int64)
        rows = lanes * max_steps
        # Zeros: after an interrupt, the others go on with what lies here, and norms of what is no
        # number take seconds.
        self._x = np.zeros((rows, config.n_embd), np.float32)
        self._scale = np.zeros(rows, np.float32)
        self._quantized = np.zeros(rows * max(y.depth for y in model.linears), np.float32)
        self._sums = np.zeros(rows * max(y.width for y in model.linears), np.float32)
        self._queries = np.zeros(rows * config.n_head * config.head_dim, np.int8)
        self._query_scales = np.zeros(rows * config.n_head, np.float32)
        self._seen = np.zeros(rows * config.n_head * config.head_dim, np.float32)
        self._kernel = tensor_parallel_pass(config.head_dim)
        self._constants = self._kernel_constants()
        self._pool = ThreadPoolExecutor(max(1, threads - 1), "lmcompress")

    def _kernel_constants(self) -> tuple[Any, ...]:
        """Returns what stays the same from step to step, as the kernel takes it."""
        model, config = self._model, self.config
        arrays: Any = model.weights.arrays
        table = arrays["token_embedding.q"], arrays["token_embedding.s"]
        positions = table[0][:0], table[1][:0]
        if config.positions == "learned":
            positions = arrays["position_embedding.q"], arrays["position_embedding.s"]
        products = [
            _product([layer[name] for layer in model.layers])
            for name in ("qkv", "proj", "up", "down")
        ]
        kinds, gains, biases = zip(*model.norms, strict=True)
        q_gains, k_gains = zip(*model.qk_gains, strict=True)
        window, leading = model.windows[0], (config.n_layer, self.lanes, config.n_kv_head)
        rings = new_rings(leading, window, self.max_steps, config.head_dim)
        heads = config.n_head, config.qk_norm, _stack(q_gains), _stack(k_gains)
        return (
            table, positions, *products, _product([model.output]),
            np.array(kinds, np.int64), _stack(gains), _stack(biases), config.norm_eps, heads,
            (model.cos, model.sin), tuple(rings), window, model.attention_table, model.activation,
            model.logit_table, model.normal_tails, model.grid,
        )  # fmt: skip

    def _evaluate_block(
        self,
        tokens: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32] | None,
        logits: npt.NDArray[np.float32] | None,
    ) -> None:
        self._clock[0], self._counter[0] = self.position, 0
        flat = np.ascontiguousarray(tokens).reshape(-1)
        job = functools.partial(self._evaluate_part, flat, out=out, logits=logits)
        others: list[Future[None]] = []
        try:
            with self._nobody_waits_in_vain():
                for thread in range(1, self._threads):
                    others.append(self._pool.submit(job, thread))
                job(0)
        finally:
            wait(others)
        for future in others:
            future.result()

    @contextlib.contextmanager
    def _nobody_waits_in_vain(self) -> Iterator[None]:
        """Opens the barrier where a thread does not get to it: an interrupt, too little memory."""
        try:
            yield
        except BaseException:
            self._counter[0] = barrier.OPEN
            raise

    def _evaluate_part(
        self,
        tokens: npt.NDArray[np.int64],
        thread: int,
        out: npt.NDArray[np.float32] | None,
        logits: npt.NDArray[np.float32] | None,
    ) -> None:
        """Evaluates one thread's part; returns when its rows of the output are complete."""
        rows = len(tokens)
        with self._nobody_waits_in_vain():
            self._kernel(
                thread, self._threads, self._counter.ctypes.data, self.lanes, self._clock, tokens,
                out is not None or logits is not None, *self._constants,
                self._x[:rows], self._scale[:rows], self._quantized, self._sums,
                self._queries, self._query_scales, self._seen,
            )  # fmt: skip
        low, high = (self.lanes * i // self._threads for i in (thread, thread + 1))
        if low == high:
            return
        steps, head = rows // self.lanes, self._model.output
        part = slice(low * steps, high * steps)
        sums = self._sums[: rows * head.width].reshape(rows, head.width)[part]
        args = sums, self._scale[part], head.scale
        if out is not None:
            table = self._model.logit_table
            kernels.freqs_from_logits(*args, table, high - low, out[:, low:high])
        if logits is not None:
            kernels.logits_rows(*args, high - low, logits[:, low:high])

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()


def _product(linears: list[Any]) -> tuple[Any, ...]:
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
