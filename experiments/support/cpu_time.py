"""CPU time of a call, which depends less on other work than the time that passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Params = ParamSpec("Params")
Result = TypeVar("Result")


def cpu_timed(
    call: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
) -> tuple[float, Result]:
    """Returns the CPU seconds of this process in a call, and what the call returns."""
    start = time.process_time()
    result = call(*args, **kwargs)
    return time.process_time() - start, result
