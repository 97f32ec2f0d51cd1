"""The stage with its reasons: the same predictions, and where they come from. Some 5 times slower.

It takes the same steps in the same order as the stage itself, and looks on in between, so that what
it explains is what is written to files. Tests hold both to the same numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.evidence import SPEAKERS, speakers_of_inputs, weigh
from lmcompress.adaptive.lookahead import LIKELIEST, look_ahead, new_search
from lmcompress.adaptive.stage import AdaptiveStage
from lmcompress.adaptive.state_pointer import state_at
from lmcompress.adaptive.steps import (
    end_bytes,
    learn_bit,
    learn_ends,
    predict_bits,
    predict_ends,
    start_bytes,
)
from lmcompress.jit.compiler import lean_kernel
from lmcompress.range_coder import Freqs
from lmcompress.tokenizer.rounds import ALWAYS, NEVER, Rounds

_ALWAYS, _NEVER = ALWAYS, NEVER


class Reasons(NamedTuple):
    """What the stage expected of each of n bytes, and why."""

    likeliest: npt.NDArray[np.uint8]
    """The likeliest bytes, (n, LIKELIEST), the likeliest first."""
    chances: npt.NDArray[np.float64]
    """How likely they were, out of 1, when the round began: other lanes had not coded theirs."""
    evidence: npt.NDArray[np.float32]
    """How far each of SPEAKERS spoke for the byte that came, (n, len(SPEAKERS)), in bits of the
    odds' logarithm, summed over the byte's bits; negative if it spoke for others."""


@lean_kernel
def _explain(
    addresses, end_addresses, sizes, lanes, symbols, freqs, ends, is_end, out, bits,
    room, speakers, likeliest, chances, evidence,
):  # fmt: skip
    """Does what the stage's `_encode` does, and fills in the reasons of each row."""
    S, E = state_at(addresses), state_at(end_addresses)
    row, start = 0, 0
    for r in range(sizes.shape[0]):
        stop = start + np.int64(sizes[r])
        start_bytes(S, lanes, freqs, start, stop)
        for k in range(start, stop):
            look_ahead(S, lanes, k, room, likeliest, chances)
        for bit in range(8):
            predict_bits(S, lanes, bit, start, stop, out, row)
            for k in range(start, stop):
                bits[row + k - start] = (np.int64(symbols[k]) >> (7 - bit)) & 1
                weigh(S, lanes[k], bits[row + k - start], speakers, evidence, k)
            for k in range(start, stop):
                learn_bit(S, lanes[k], bit, np.int64(bits[row + k - start]))
            row += stop - start
        end_bytes(S, lanes, start, stop)
        count = predict_ends(S, E, lanes, ends, start, stop, out, row)
        learn_ends(S, E, lanes, ends, is_end, start, stop)
        if count:
            for k in range(start, stop):
                if _NEVER < ends[k] < _ALWAYS:
                    bits[row] = np.int64(is_end[k])
                    row += 1
        start = stop
    return row


class ExplainingStage(AdaptiveStage):
    """An `AdaptiveStage` that keeps the reasons of what it encoded last."""

    reasons: Reasons

    def predict(self, rounds: Rounds) -> tuple[npt.NDArray[np.int32], Freqs]:
        """Returns all decisions of rounds (n,) and their freqs (n, 2); sets `reasons`."""
        count, size = len(rounds.symbols), 9 * len(rounds.symbols)
        out, bits = np.empty((size, 2), np.float32), np.empty(size, np.int32)
        self.reasons = Reasons(
            np.empty((count, LIKELIEST), np.uint8),
            np.empty((count, LIKELIEST)),
            np.zeros((count, len(SPEAKERS)), np.float32),
        )
        search, speakers = new_search(), speakers_of_inputs()
        args = *rounds.arrays(), out, bits, search, speakers, *self.reasons
        rows = _explain(*self._addresses, *args)
        return bits[:rows], out[:rows]
