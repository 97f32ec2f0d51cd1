"""What a pass is told: threads that follow read it from shared memory, without Python."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.engine import Outputs

PASSES, STEPS, HAS_OUTPUT, FREQS, SUMS, TOKENS, LANES, POSITION = range(8)
"""Where in the array: passes begun, steps, whether there is any output, the addresses of freqs and
sums (0 for none) and of tokens, lanes of all groups together, tokens read before."""


def new_orders(lanes: int) -> npt.NDArray[np.int64]:
    """Returns orders for so many lanes."""
    orders = np.zeros(POSITION + 1, np.int64)
    orders[LANES] = lanes
    return orders


def give(
    orders: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64], position: int, outputs: Outputs
) -> None:
    """Says what the next pass is: tokens (lanes, steps), and where its outputs go.

    All are C-contiguous, and whoever calls keeps them alive until the pass is done.
    """
    assert tokens.flags.c_contiguous
    orders[STEPS], orders[HAS_OUTPUT] = tokens.shape[1], outputs.has_any
    orders[TOKENS], orders[POSITION] = tokens.ctypes.data, position
    for where, array in ((FREQS, outputs.freqs), (SUMS, outputs.sums)):
        orders[where] = 0
        if array is not None:
            assert array.flags.c_contiguous
            orders[where] = array.ctypes.data
