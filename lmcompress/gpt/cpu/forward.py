"""Passes over some lanes in one compiled call each; `forward_pass.py` is what is called."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import barrier, kernels
from lmcompress.gpt.cpu.forward_pass import forward_pass
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.operands import memory_of, network_of
from lmcompress.gpt.cpu.state import State


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
        self.model, self.state = model, state
        self.share = share or Share(0, 1, np.zeros(1, np.int64))
        head_dim = model.config.head_dim
        self.kernel = forward_pass(head_dim, has_int16_inputs=model.has_int16_inputs)
        self._part = self.share.thread, self.share.threads, self.share.counter.ctypes.data
        self._first_lane = first_lane
        self._network, self._memory = network_of(model), memory_of(state)

    def begin(self) -> None:
        """Begins a pass, before any thread runs its part of it."""
        self.share.counter[0] = 0

    def run(
        self, orders: npt.NDArray[np.int64], progress: npt.NDArray[np.int64], *, follows: bool
    ) -> None:
        """Evaluates a pass, or follows, pass after pass, until none was ordered for long.

        `orders.py` says what is ordered, `barrier.is_ordered` what progress is.
        """
        self.kernel(
            orders, progress, follows, self._part, self._first_lane, self._network, self._memory
        )

    def give_up(self) -> None:
        """After an error: has nobody wait for this thread."""
        self.share.counter[0] = barrier.OPEN

    def logits(self, out: npt.NDArray[np.float32]) -> None:
        """Fills out (steps, lanes, V) with the logits of the last pass, which had output."""
        (steps, lanes), head = out.shape[:2], self.model.output
        rows = steps * lanes
        sums = self.state.sums_of(rows, head.width)
        kernels.logits_rows(sums, self.state.scale[:rows], head.scale, lanes, out)
