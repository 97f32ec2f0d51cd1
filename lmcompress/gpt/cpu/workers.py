"""Threads that evaluate each pass together with the caller's.

Waking a thread takes some 60 microseconds, as long as a step of a small decoder: between passes
they stay in compiled code for a while and spin; `forward_pass.py` says how.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.barrier import announce, wait_until_done
from lmcompress.gpt.cpu.forward import Forward
from lmcompress.gpt.cpu.orders import PASSES, give, new_orders
from lmcompress.gpt.engine import Outputs

Array = npt.NDArray[np.int64]


class Workers:
    """The parts of a pass: the caller's thread evaluates the first, a worker each other one.

    The workers end when nobody refers to this any more.
    """

    def __init__(self, parts: Sequence[Forward], lanes: int) -> None:
        self._parts, self._orders = parts, new_orders(lanes)
        self._progress = np.zeros((len(parts), 2), np.int64)
        """Passes done by each, and whether it is away: asleep, or about to be."""
        self._workers = [
            _Worker(part, self._orders, progress)
            for part, progress in zip(parts[1:], self._progress[1:], strict=True)
        ]
        self.close = weakref.finalize(self, _end, self._workers)
        """Ends the threads."""

    def run(self, tokens: Array, position: int, outputs: Outputs) -> None:
        """Evaluates a pass over tokens (all lanes, steps), of which `position` came before.

        Fills the outputs but for logits. Returns when all parts are done, also after an error:
        nothing may use the arrays then.
        """
        tokens = np.ascontiguousarray(tokens)
        give(self._orders, tokens, position, outputs)
        for part in self._parts:
            part.begin()
        for worker in self._workers:
            worker.start()
        try:
            announce(self._orders)
            self._wake()
            self._parts[0].run(self._orders, self._progress[0], follows=False)
        except BaseException:
            self._parts[0].give_up()
            raise
        finally:
            self._wake()  # an interrupt may have come before all were awake
            wait_until_done(self._orders[PASSES], self._progress[1:])
        for worker in self._workers:
            worker.raise_error()

    def _wake(self) -> None:
        """Wakes those who are away: after the pass was announced, or one may be about to go."""
        for worker in self._workers:
            worker.wake()


class _Worker:
    """A thread that starts with its first pass, in the caller's floating-point environment."""

    def __init__(self, part: Forward, orders: Array, progress: Array) -> None:
        self._part, self._orders, self._progress = part, orders, progress
        self._progress[1] = 1
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="lmcompress-worker", daemon=True)
        self._error: BaseException | None = None
        self._has_ended = False

    def start(self) -> None:
        """Starts the thread, if it has not begun, and forgets what went wrong before."""
        self._error = None
        if self._thread.ident is None:
            self._thread.start()

    def wake(self) -> None:
        """Has the thread look for orders, if it is away."""
        if self._progress[1]:
            self._woken.set()

    def _serve(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            if self._has_ended:
                return
            self._progress[1] = 0
            try:
                self._part.run(self._orders, self._progress, follows=True)
            except BaseException as exc:  # too little memory
                self._error = exc
                self._part.give_up()
                self._progress[:] = self._orders[PASSES], 1

    def raise_error(self) -> None:
        """Raises what went wrong in the thread."""
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Ends the thread."""
        self._has_ended = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.end()
