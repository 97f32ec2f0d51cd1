"""How threads inside compiled code wait for each other: they spin, without Python's lock.

Waiting in Python costs tens of microseconds, as much as the product of a small matrix; this costs
less than one if every thread has a core. A thread that waits for long yields its core.
"""

from __future__ import annotations

import os
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lmcompress.jit.compiler import device_function, kernel
from lmcompress.jit.simd import I64

IS_USABLE = hasattr(os, "sched_getaffinity")
"""Whether our cores can be counted and others be let run, as on Linux."""
OPEN = 1 << 62
"""A counter at which nobody waits, whatever was computed."""
_SPINS = 4000
_PATIENCE = _SPINS + 2000
"""Looks at the counter before a thread goes: about a millisecond."""


@device_function
def _go_on():
    """Windows has no `sched_yield`: there, a thread that waits for long spins on."""


_let_others_run = _go_on
if os.name == "posix":
    _let_others_run = types.ExternalFunction("sched_yield", types.int32())


def _counter(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.PointerType(I64))


@intrinsic
def _arrive(_typing: Any, address: Any) -> Any:
    """Adds 1 to the counter at an address; returns what it was before."""

    def codegen(_context, builder, _signature, args):
        one = ir.Constant(I64, 1)
        return builder.atomic_rmw("add", _counter(builder, args[0]), one, "seq_cst")

    return types.int64(address), codegen


@intrinsic
def _arrived(_typing: Any, address: Any) -> Any:
    """Reads the counter, and after it what others wrote before they came."""

    def codegen(_context, builder, _signature, args):
        return builder.load_atomic(_counter(builder, args[0]), "acquire", 8)

    return types.int64(address), codegen


@device_function
def wait(counter_at, threads):
    """Returns once all threads have called it as often; the counter, int64, is 0 at first."""
    ticket = _arrive(counter_at)
    complete = (ticket // threads + 1) * threads if ticket < OPEN else ticket
    spins = 0
    while _arrived(counter_at) < complete:
        spins += 1
        if spins > _SPINS:
            _let_others_run()


@kernel
def announce(orders):
    """Counts one more pass in orders[0]: those who wait in `is_ordered` begin."""
    _arrive(orders.ctypes.data)


@device_function
def is_ordered(orders, progress):
    """Whether another pass is ordered; waits for it, but not for long.

    progress[0] counts the passes that this thread has done. Before it goes, progress[1] becomes 1:
    whoever announces a pass and then looks there knows whom to wake.
    """
    orders_at, away_at = orders.ctypes.data, progress.ctypes.data + progress.itemsize
    spins = 0
    while _arrived(orders_at) <= progress[0]:
        spins += 1
        if spins > _SPINS:
            _let_others_run()
        if spins > _PATIENCE:
            _arrive(away_at)
            if _arrived(orders_at) <= progress[0]:
                return False
            progress[1], spins = 0, 0
    return True


@device_function
def report(progress):
    """Counts one more pass as done."""
    _arrive(progress.ctypes.data)


@kernel
def wait_until_done(passes, everyone):
    """Returns once all have done so many passes: rows of `everyone` are their progress."""
    for i in range(everyone.shape[0]):
        at, spins = everyone[i].ctypes.data, 0
        while _arrived(at) < passes:
            spins += 1
            if spins > _SPINS:
                _let_others_run()
