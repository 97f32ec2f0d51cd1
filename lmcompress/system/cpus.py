"""How many processors there are for us."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time in each period, or "max", of a container (Linux, cgroup v2)."""


def usable_cpus() -> int:
    """Returns the processors that this process may run on, or the share of them that it is given.

    Threads that wait for each other stand still where more of them run than that.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text("ascii").split()
        return max(1, min(count, int(quota) // int(period)))
    except (OSError, ValueError):  # no container, or one without a quota
        return count
