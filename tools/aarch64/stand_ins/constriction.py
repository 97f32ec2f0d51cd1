"""constriction, of which there is no wheel for Linux on aarch64: its range encoder, in Python.

The check compares whole files with those that the real one wrote, so an error here would show.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import numpy.typing as npt

_PRECISION_BITS = 24
_ALL = (1 << 64) - 1


class _RangeEncoder:
    """A queue with words of 32 bits and a state of 64 (Martin, 1979)."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._low, self._size = 0, _ALL

    def encode(self, symbols: npt.NDArray[np.int32], _family: None, freqs: Any) -> None:
        """Appends symbols (n,), each under its own row of freqs (n, V), frequencies less one."""
        for symbol, row in zip(symbols.tolist(), freqs.astype(np.int64), strict=True):
            unit = self._size >> _PRECISION_BITS
            self._low += unit * (int(row[:symbol].sum()) + symbol)
            self._size = unit * (int(row[symbol]) + 1)
            if self._low > _ALL:
                self._low &= _ALL
                _carry(self._words)
            if self._size < 1 << 32:
                self._words.append(self._low >> 32)
                self._low, self._size = (x << 32 & _ALL for x in (self._low, self._size))

    def pos(self) -> tuple[int, tuple[int, int]]:
        """Returns the number of words so far, and the interval's lower end and size."""
        return len(self._words), (self._low, self._size)

    def get_compressed(self) -> npt.NDArray[np.uint32]:
        """Returns the words, and one or two that name a point of the last interval."""
        words, point = [*self._words], self._low + (1 << 32) - 1
        if point > _ALL:
            _carry(words)
        last, end = (x >> 32 & 0xFFFFFFFF for x in (point, self._low + self._size))
        return np.array([*words, last, *([0] if last == end else [])], np.uint32)


def _carry(words: list[int]) -> None:
    """Adds one to a number of such words."""
    last = len(words) - 1
    while words[last] == 0xFFFFFFFF:
        words[last] = 0
        last -= 1
    words[last] += 1


stream = types.SimpleNamespace(
    queue=types.SimpleNamespace(RangeEncoder=_RangeEncoder),
    model=types.SimpleNamespace(Categorical=lambda perfect: None),
)
