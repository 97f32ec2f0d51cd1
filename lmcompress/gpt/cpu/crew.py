"""Threads that evaluate each pass together with the caller's.

Waking a thread takes some 60 microseconds, as long as a step of a small decoder: between passes
they stay in compiled code for a while and spin; `forward_pass.py` says how.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.barrier import announce, wait_until_done
from lmcompress.gpt.cpu.orders import PASSES

Array = npt.NDArray[np.int64]
Evaluate = Callable[[Array], None]


class Crew:
    """One thread for each function that follows orders until none has come for long.

    It ends when nobody refers to it any more: the functions must not.
    """

    def __init__(self, orders: Array, follow: Sequence[Evaluate]) -> None:
        self._orders = orders
        self._everyone = np.zeros((len(follow), 2), np.int64)
        """Passes done by each, and whether it is away: asleep, or about to be."""
        self._members = [
            _Member(orders, mine, function)
            for mine, function in zip(self._everyone, follow, strict=True)
        ]
        self.close = weakref.finalize(self, _end, self._members)
        """Ends the threads."""

    def run(self, lead: Callable[[], None], give_up: Callable[[], None] = lambda: None) -> None:
        """Evaluates a pass, of which `lead` does the caller's part.

        Returns when all are done, also after an error, for nothing may use the arrays then; after
        `give_up` nobody may wait for the caller.
        """
        try:
            announce(self._orders)
            for member in self._members:
                member.wake()
            lead()
        except BaseException:
            give_up()
            raise
        finally:
            wait_until_done(self._orders[PASSES], self._everyone)
        for member in self._members:
            member.raise_error()


class _Member:
    """A thread that starts when it is first needed, in the caller's floating-point environment."""

    def __init__(self, orders: Array, mine: Array, follow: Evaluate) -> None:
        self._orders, self._mine, self._follow = orders, mine, follow
        self._mine[1] = 1
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._has_ended = False

    def wake(self) -> None:
        """Has it look for orders, if it is away: after the pass was announced, or it may go."""
        if self._mine[1]:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, daemon=True)
                self._thread.start()
            self._woken.set()

    def _serve(self) -> None:
        while True:
            self._woken.wait()
            self._woken.clear()
            if self._has_ended:
                return
            self._mine[1] = 0
            try:
                self._follow(self._mine)
            except BaseException as exc:  # too little memory
                self._error = exc
                self._mine[:] = self._orders[PASSES], 1

    def raise_error(self) -> None:
        """Raises what went wrong in the thread, once."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def end(self) -> None:
        """Ends the thread."""
        self._has_ended = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join()


def _end(members: Sequence[_Member]) -> None:
    for member in members:
        member.end()
