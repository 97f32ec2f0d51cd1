"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time in each period, or "max", of a container (Linux, cgroup v2)."""


def usable_cpus() -> int:
    """Returns the number of processors that this process may run on, or its quota if that is less.

    With more threads than that, threads that wait for each other stall.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text("ascii").split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # not in a container, or it has no quota
        return count
