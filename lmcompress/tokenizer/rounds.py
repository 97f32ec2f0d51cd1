"""Rounds: what a model says of the next bytes, in the order in which they are coded.

Every model predicts bytes. In a round each lane that is in the middle of a token, or about to begin
one, has one byte coded; then, where a token may both end there and go on, whether it ends. To a
model of bytes every byte is a token.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.range_coder import PRECISION_BITS, Freqs

NEVER, ALWAYS = 0, 1 << PRECISION_BITS
"""How likely an end is where the trie decides it: the end is not coded."""


def is_open(ends: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Returns where a token may both end and go on."""
    return (ends > NEVER) & (ends < ALWAYS)


@dataclasses.dataclass(frozen=True)
class Rounds:
    """Bytes of several rounds, k in all: one row each."""

    sizes: npt.NDArray[np.int32]
    """Rows of each round, (rounds,)."""
    lanes: npt.NDArray[np.int32]
    """The lane of each byte, (k,); rising within a round."""
    symbols: npt.NDArray[np.uint8]
    """The bytes, (k,)."""
    freqs: Freqs
    """The model's frequencies of each byte, (k, 256)."""
    ends: npt.NDArray[np.int32]
    """How likely a token ends after each byte, out of 2**PRECISION_BITS: NEVER .. ALWAYS, (k,)."""
    is_end: npt.NDArray[np.bool_]
    """Whether one does, (k,)."""

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Returns the arrays in order."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @classmethod
    def of_bytes(cls, symbols: npt.NDArray[np.int32], freqs: Freqs) -> Rounds:
        """Returns the rounds of a model of bytes.

        Args:
          symbols: Bytes (n,), step-major; at the last step there may be fewer than lanes.
          freqs: Of each step and lane, (steps, lanes, 256).
        """
        steps, lanes, _ = freqs.shape
        count = len(symbols)
        sizes = np.full(steps, lanes, np.int32)
        sizes[-1] = count - (steps - 1) * lanes
        return cls(
            sizes,
            np.tile(np.arange(lanes, dtype=np.int32), steps)[:count],
            symbols.astype(np.uint8),
            freqs.reshape(-1, 256)[:count],
            np.full(count, ALWAYS, np.int32),
            np.ones(count, np.bool_),
        )
