"""Tensor parallelism on the CPU: threads share each product (Shoeybi et al., 2019).

`engine.py` gives each thread lanes of its own, so each reads all weights at every step, and one
lane has one thread. Where weights do not fit the caches, reading them is what takes the time of a
decoder's step: here each thread reads its part of them, for all lanes. Threads wait for each other,
which costs more than it gives on a machine that is busy, or where lanes are many.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import barrier
from lmcompress.gpt.cpu.forward import Forward, Share
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.state import State
from lmcompress.gpt.cpu.workers import Workers
from lmcompress.gpt.engine import BlockEngine, Outputs
from lmcompress.system.cpus import usable_cpus

LARGE_BYTES = 16 << 20
"""Weights from which on sharing products is faster: they do not fit the caches of a core or two."""


def fits(model: CpuModel) -> bool:
    """Whether threads can share this model's products: those of wide inputs, by our kernels."""
    return model.has_int16_inputs and model.has_kernels and barrier.IS_USABLE


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
        super().__init__(model.weights, lanes, max_steps)
        self._state, counter = State(model, lanes, max_steps), np.zeros(1, np.int64)
        self._forwards = [
            Forward(model, self._state, share=Share(i, threads, counter)) for i in range(threads)
        ]
        self._workers = Workers(self._forwards, lanes)

    def _evaluate_block(self, tokens: npt.NDArray[np.int64], outputs: Outputs) -> None:
        self._state.start(self.position, self.config.bos_id)
        self._workers.run(tokens, self.position, outputs)
        if outputs.logits is not None:
            self._forwards[0].logits(outputs.logits)

    def close(self) -> None:
        """Ends the threads."""
        self._workers.close()
