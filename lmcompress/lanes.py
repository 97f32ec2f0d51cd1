"""Lanes: a segment's bytes as contiguous runs that the model steps through together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lmcompress.predictor import GPU_ROWS, ROWS_PER_THREAD

AUTO_LANE_BYTES = 8192
"""Automatic lanes are at least this long: 0.13 % more bits on alice29.txt than with one lane."""
AUTO_MAX_LANES = 16
"""More lanes decode no faster on two cores: their keys and values no longer fit the cache."""


def auto_lanes(raw_bytes: int) -> int:
    """Returns the number of lanes for so many bytes where none is asked for."""
    return max(1, min(AUTO_MAX_LANES, raw_bytes // AUTO_LANE_BYTES))


@dataclasses.dataclass(frozen=True)
class LaneLayout:
    """Which byte of a segment is which step of which lane: the first lanes may be one longer."""

    raw_bytes: int
    lanes: int

    @property
    def steps(self) -> int:
        """Steps of the longest lane."""
        return -(-self.raw_bytes // self.lanes)

    @property
    def last_lanes(self) -> int:
        """Lanes that still have a symbol at the last step."""
        return self.raw_bytes - (self.steps - 1) * self.lanes

    def split(self, raw: bytes) -> npt.NDArray[np.uint8]:
        """Returns the symbols as (lanes, steps); lanes that are one short end in a zero."""
        symbols = np.zeros((self.lanes, self.steps), np.uint8)
        flat, full = np.frombuffer(raw, np.uint8), self.last_lanes
        cut = full * self.steps
        symbols[:full] = flat[:cut].reshape(full, self.steps)
        symbols[full:, : self.steps - 1] = flat[cut:].reshape(self.lanes - full, self.steps - 1)
        return symbols

    def join(self, symbols: npt.NDArray[np.uint8]) -> bytes:
        """Inverts `split`."""
        full = self.last_lanes
        return symbols[:full].tobytes() + symbols[full:, : self.steps - 1].tobytes()


def segment_blocks(
    raw: bytes, lanes: int, block: int, first_token: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]]:
    """Yields what the model reads, tokens (lanes, steps), and the symbols to code, step-major."""
    layout = LaneLayout(len(raw), lanes)
    symbols = layout.split(raw)
    before = np.full((lanes, 1), first_token, np.int64)
    for start in range(0, layout.steps, block):
        part = symbols[:, start : start + block]
        tokens = np.concatenate((before, part[:, :-1]), axis=1, dtype=np.int64)
        count = min(part.size, len(raw) - start * lanes)
        yield tokens, part.T.astype(np.int32).ravel()[:count]
        before = part[:, -1:].astype(np.int64)


def block_steps(lanes: int, threads: int, device: str = "cpu") -> int:
    """Returns the steps that an encoder works on at once."""
    rows = GPU_ROWS if device == "cuda" else ROWS_PER_THREAD * min(threads, lanes)
    return max(1, rows // lanes)
