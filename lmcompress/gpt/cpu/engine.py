"""Fast exact evaluation on the CPU, in numba kernels; products by PyTorch where it is faster.

Lanes are split into groups, one a thread, that share nothing but weights: no thread waits inside a
step, and each product runs on its own core.
"""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.forward import Forward
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.plan import Plan
from lmcompress.gpt.cpu.state import State
from lmcompress.gpt.cpu.workers import Workers
from lmcompress.gpt.engine import BlockEngine, Outputs


class CpuEngine(BlockEngine):
    """Steps `lanes` streams of one model through the kernels, on `threads` threads.

    A pass is one compiled call, or call by call where PyTorch computes products: compiled code
    cannot call it.
    """

    def __init__(self, model: CpuModel, lanes: int, max_steps: int, threads: int) -> None:
        super().__init__(model.weights, lanes, max_steps)
        self.model, count = model, max(1, min(threads, lanes))
        bounds = [lanes * i // count for i in range(count + 1)]
        self._slices = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        self.states = [State(model, s.stop - s.start, max_steps) for s in self._slices]
        """What the lanes of each thread have read."""
        self._most_lanes = max(state.lanes for state in self.states)
        self._forwards: list[Forward] = []
        if model.has_kernels:
            self._forwards = [
                Forward(model, state, first_lane=s.start)
                for state, s in zip(self.states, self._slices, strict=True)
            ]
        self._workers = Workers(self._forwards, lanes)
        self._plans: dict[tuple[int, bool, int], Plan] = {}
        self._pool: ThreadPoolExecutor | None = None
        if model.uses_pytorch(self._most_lanes * max_steps) and count > 1:
            from lmcompress.gpt.cpu.matmul_torch import stay_on_one_core

            self._pool = ThreadPoolExecutor(count, "lmcompress", stay_on_one_core)

    def _evaluate_block(self, tokens: npt.NDArray[np.int64], outputs: Outputs) -> None:
        for state in self.states:
            state.start(self.position, self.config.bos_id)
        if self.model.uses_pytorch(self._most_lanes * tokens.shape[1]):
            self._call_by_call(tokens, outputs)
            return
        self._workers.run(tokens, self.position, outputs)
        if outputs.logits is not None:
            for forward, s in zip(self._forwards, self._slices, strict=True):
                forward.logits(outputs.logits[:, s])

    def _call_by_call(self, tokens: npt.NDArray[np.int64], outputs: Outputs) -> None:
        from lmcompress.gpt.cpu.matmul_torch import OneCore

        steps, jobs = tokens.shape[1], []
        for i, (state, s) in enumerate(zip(self.states, self._slices, strict=True)):
            key = steps, outputs.has_any, i
            if key not in self._plans:
                self._plans[key] = Plan(self.model, state, steps, outputs.has_any)
            mine = outputs.part((slice(None), s))
            jobs.append(functools.partial(self._plans[key].run, tokens[s], mine))
        if self._pool is not None:
            futures = [self._pool.submit(job) for job in jobs]
            wait(futures)  # nothing may use these arrays after an error either
            for future in futures:
                future.result()
            return
        with OneCore():
            jobs[0]()

    def close(self) -> None:
        """Ends the threads."""
        self._workers.close()
        if self._pool is not None:
            self._pool.shutdown()
