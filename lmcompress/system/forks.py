"""What a forked process must do before it computes.

A fork copies one thread. PyTorch's other threads are missing in the child, which would wait for
them for ever; computing on one thread, it waits for none.
"""

from __future__ import annotations

import os
import sys

_IMPORTED_IN = os.getpid()


def settle_after_fork() -> None:
    """Has PyTorch use one thread for what this thread computes, if the process was forked."""
    torch = sys.modules.get("torch")
    if torch and os.getpid() != _IMPORTED_IN and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
