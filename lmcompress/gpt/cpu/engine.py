"""Fast exact evaluation on the CPU, in numba kernels; products by PyTorch where it is faster.

Lanes are split into groups, one a thread, that share nothing but weights: no thread waits inside a
step, and each product runs on its own core.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.forward import Forward
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.plan import Plan
from lmcompress.gpt.cpu.state import State
from lmcompress.gpt.engine import BlockEngine


class Group:
    """Some lanes, evaluated on one thread."""

    def __init__(self, model: CpuModel, lanes: int, max_steps: int) -> None:
        self.model, self.state = model, State(model, lanes, max_steps)
        self._forward = Forward(model, self.state) if model.has_kernels else None
        self._plans: dict[tuple[int, bool], Plan] = {}

    def predict(
        self,
        tokens: npt.NDArray[np.int64],
        position: int,
        freqs: npt.NDArray[np.float32] | None,
        logits: npt.NDArray[np.float32] | None,
        first_lane: int,
    ) -> None:
        """Reads tokens (lanes, steps); fills what is given, (steps, all lanes, V), from first_lane.

        In one compiled call, or call by call: compiled code cannot call PyTorch.
        """
        self.state.start(position, self.model.config.bos_id)
        if self._forward is not None and not self.model.uses_pytorch(tokens.size):
            self._forward.run(tokens, freqs, logits, first_lane=first_lane)
        else:
            self._plan(tokens.shape[1], freqs, logits).run(tokens, freqs, logits, first_lane)

    def _plan(self, steps: int, freqs: object, logits: object) -> Plan:
        key = steps, freqs is not None or logits is not None
        if key not in self._plans:
            self._plans[key] = Plan(self.model, self.state, *key)
        return self._plans[key]


class CpuEngine(BlockEngine):
    """Steps `lanes` streams of one model through the kernels, on `threads` threads."""

    def __init__(self, model: CpuModel, lanes: int, max_steps: int, threads: int) -> None:
        super().__init__(model.config, lanes, max_steps)
        count = max(1, min(threads, lanes))
        bounds = [lanes * i // count for i in range(count + 1)]
        self._slices = [slice(a, b) for a, b in itertools.pairwise(bounds)]
        self._groups = [Group(model, s.stop - s.start, max_steps) for s in self._slices]
        self._on_one_core: AbstractContextManager[None] = contextlib.nullcontext()
        start_thread = None
        if any(model.uses_pytorch(group.state.lanes * max_steps) for group in self._groups):
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
            functools.partial(group.predict, tokens[s], self.position, out, logits, s.start)
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
