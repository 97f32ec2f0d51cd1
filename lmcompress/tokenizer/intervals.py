"""The decisions of rounds as intervals: all that a range coder asks of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lmcompress.jit.compiler import kernel
from lmcompress.tokenizer.rounds import ALWAYS, NEVER, Rounds

_NEVER, _ALWAYS = NEVER, ALWAYS


def intervals_of(rounds: Rounds) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns where each decision's interval begins and how wide it is, in coding order: (n,).

    They are parts of 0 .. 2**PRECISION_BITS: of bytes, and of ends that are open.
    """
    size = 2 * len(rounds.symbols)
    starts, widths = np.empty(size, np.int64), np.empty(size, np.int64)
    arrays = rounds.sizes, rounds.symbols, rounds.freqs, rounds.ends, rounds.is_end
    count = _intervals(*arrays, starts, widths)
    return starts[:count], widths[:count]


@kernel
def _intervals(sizes, symbols, freqs, ends, is_end, starts, widths):
    """Fills in the intervals of all decisions; returns how many there are."""
    row, start = 0, 0
    for r in range(sizes.shape[0]):
        stop = start + np.int64(sizes[r])
        for k in range(start, stop):
            symbol = np.int64(symbols[k])
            left = symbol
            for other in range(symbol):
                left += np.int64(freqs[k, other])
            starts[row], widths[row] = left, np.int64(freqs[k, symbol]) + 1
            row += 1
        for k in range(start, stop):
            if _NEVER < ends[k] < _ALWAYS:
                goes_on = _ALWAYS - np.int64(ends[k])
                starts[row] = goes_on if is_end[k] else 0
                widths[row] = np.int64(ends[k]) if is_end[k] else goes_on
                row += 1
        start = stop
    return row
