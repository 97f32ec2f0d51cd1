"""Lanes: a segment's symbols as contiguous runs that the model steps through together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lmcompress.codec.predictor import GPU_ROWS, ROWS_PER_THREAD, Predictor

Symbol = TypeVar("Symbol", bound=np.integer[Any])

AUTO_LANE_BYTES = 16384
"""Automatic lanes are at least this long: 0.9 % more bits on alice29.txt than with one lane."""
AUTO_MAX_LANES = 16
"""More lanes decode no faster on two cores: their keys and values no longer fit the cache."""
AUTO_MAX_GPU_LANES = 256
"""A guess, not measured on a GPU: it should step through hundreds in the time of one."""
AUTO_LANE_TOKENS = 2048
"""The same of tokens: some 8,000 bytes of English, for their models are slow with few lanes."""
TOKEN_ROWS_PER_THREAD = 128
"""Rows of a thread where each has a logit for every token: 50,000 of them take 200 kB."""

GPU_TOKEN_ROWS = 1024
"""Rows of tokens on a GPU: 200 MB of logits for 50,000 tokens, and twice as much of sums."""


def auto_lanes(raw_bytes: int, device: str = "cpu") -> int:
    """Returns the automatic number of lanes for a segment of bytes."""
    return max(1, min(_most_lanes(device), raw_bytes // AUTO_LANE_BYTES))


def auto_token_lanes(num_tokens: int, device: str = "cpu") -> int:
    """Returns the automatic number of lanes for a segment of tokens."""
    return max(1, min(_most_lanes(device), num_tokens // AUTO_LANE_TOKENS))


def _most_lanes(device: str) -> int:
    return AUTO_MAX_GPU_LANES if device == "cuda" else AUTO_MAX_LANES


@dataclasses.dataclass(frozen=True)
class LaneLayout:
    """Maps the symbols of a segment to lanes and steps; the first lanes may be one longer."""

    num_symbols: int
    lanes: int

    @property
    def steps(self) -> int:
        """Steps of the longest lane."""
        return -(-self.num_symbols // self.lanes)

    @property
    def last_lanes(self) -> int:
        """Lanes that still have a symbol at the last step."""
        return self.num_symbols - (self.steps - 1) * self.lanes

    @property
    def lengths(self) -> list[int]:
        """Symbols of each lane."""
        full = self.last_lanes
        return [self.steps] * full + [self.steps - 1] * (self.lanes - full)

    def active(self, step: int) -> int:
        """Lanes that have a symbol at a step."""
        return self.lanes if step < self.steps - 1 else self.last_lanes

    def split(self, flat: npt.NDArray[Symbol]) -> npt.NDArray[Symbol]:
        """Returns the symbols (n,) as (lanes, steps); lanes that are one short end in a zero."""
        symbols = np.zeros((self.lanes, self.steps), flat.dtype)
        symbols[: self.last_lanes], symbols[self.last_lanes :, : self.steps - 1] = self.rows(flat)
        return symbols

    def rows(self, flat: npt.NDArray[Symbol]) -> tuple[npt.NDArray[Symbol], npt.NDArray[Symbol]]:
        """Returns views of symbols (n,): the longer lanes (a, steps), the others (b, steps - 1)."""
        full = self.last_lanes
        cut = full * self.steps
        others = flat[cut:].reshape(self.lanes - full, self.steps - 1)
        return flat[:cut].reshape(full, self.steps), others

    def sums(self, flat: npt.NDArray[Symbol]) -> list[int]:
        """Returns the sum over each lane of numbers (n,) that belong to its symbols."""
        return [int(total) for rows in self.rows(flat) for total in rows.sum(axis=1)]


def segment_blocks(
    symbols: npt.NDArray[np.int32], lanes: int, block: int, predictor: Predictor, first_token: int
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]]:
    """Yields what the model reads, tokens (lanes, steps), and the symbols to code, step-major."""
    layout = LaneLayout(len(symbols), lanes)
    rows = layout.split(symbols)
    before = np.full((lanes, 1), first_token, np.int64)
    for start in range(0, layout.steps, block):
        part = rows[:, start : start + block]
        read = predictor.read_as(part)
        count = min(part.size, len(symbols) - start * lanes)
        yield np.concatenate((before, read[:, :-1]), axis=1), part.T.ravel()[:count]
        before = read[:, -1:]


def block_steps(lanes: int, threads: int, device: str = "cpu") -> int:
    """Returns how many steps an encoder evaluates in one pass."""
    rows = GPU_ROWS if device == "cuda" else ROWS_PER_THREAD * min(threads, lanes)
    return max(1, rows // lanes)


def token_block_steps(lanes: int, threads: int, device: str = "cpu") -> int:
    """Returns how many steps an encoder of tokens evaluates in one pass."""
    rows = GPU_TOKEN_ROWS if device == "cuda" else TOKEN_ROWS_PER_THREAD * min(threads, lanes)
    return max(1, rows // lanes)
