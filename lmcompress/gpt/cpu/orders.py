"""What a pass is told: threads that follow read it from shared memory, without Python."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PASSES, STEPS, HAS_OUTPUT, FREQS, TOKENS, LANES, POSITION = range(7)
"""Where in the array: passes begun, steps, whether logits are wanted, the addresses of freqs
(0 for none) and tokens, lanes of all groups together, tokens read before."""


def new_orders(lanes: int) -> npt.NDArray[np.int64]:
    """Returns orders for so many lanes."""
    orders = np.zeros(POSITION + 1, np.int64)
    orders[LANES] = lanes
    return orders


def give(
    orders: npt.NDArray[np.int64],
    tokens: npt.NDArray[np.int64],
    position: int,
    freqs: npt.NDArray[np.float32] | None,
    *,
    has_output: bool,
) -> None:
    """Says what the next pass is: tokens (lanes, steps), and where freqs (steps, lanes, V) go.

    Both are C-contiguous, and whoever calls keeps them alive until the pass is done.
    """
    assert tokens.flags.c_contiguous
    orders[STEPS], orders[HAS_OUTPUT], orders[POSITION] = tokens.shape[1], has_output, position
    orders[TOKENS] = tokens.ctypes.data
    orders[FREQS] = 0
    if freqs is not None:
        assert freqs.flags.c_contiguous
        orders[FREQS] = freqs.ctypes.data
