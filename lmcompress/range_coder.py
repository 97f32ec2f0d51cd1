"""Frequencies and the range coder: the seam between a predictor and `constriction`.

Only integers cross it. A predictor gives `freqs`: integers >= 0 that sum to exactly
2**PRECISION_BITS - vocab_size. Symbol i then has frequency 1 + freqs[i] out of 2**PRECISION_BITS:
the coder adds the one, so that every symbol stays encodable. Range coding after Martin (1979) and
Pasco (1976), as `constriction` (Bamler, 2022) implements it: a queue, first in, first out.
"""

from __future__ import annotations

import functools
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

PRECISION_BITS = 24
"""Fixed by constriction's Categorical model."""

Freqs = npt.NDArray[np.float32]
"""Frequencies less one, integer-valued, one row for each symbol to code: (n, vocab_size)."""


@functools.cache
def _family() -> Any:
    # perfect=True would search for the best approximation of real probabilities: slow, and not
    # what integers that are frequencies already need.
    return constriction.stream.model.Categorical(perfect=False)


def check_freqs(freqs: Freqs) -> None:
    """Raises ValueError unless each row of freqs (n, vocab_size) is one the coder inverts."""
    if freqs.dtype != np.float32 or not freqs.flags.c_contiguous or freqs.ndim != 2:
        raise ValueError("freqs must be a C-contiguous float32 array of shape (n, vocab_size)")
    budget = (1 << PRECISION_BITS) - freqs.shape[1]
    if freqs.shape[1] < 2 or budget < 1:
        raise ValueError(f"an alphabet of {freqs.shape[1]} symbols cannot be coded")
    if np.any(freqs < 0) or np.any(freqs != np.floor(freqs)):
        raise ValueError("freqs must be integers >= 0")
    if np.any(freqs.sum(axis=1, dtype=np.float64) != budget):
        raise ValueError(f"each row of freqs must sum to {budget}")


def symbol_bits(freqs: Freqs, symbols: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.float64]:
    """Returns -log2(frequency / total) of each of symbols (n,) with freqs (n, V): (n,)."""
    chosen = 1.0 + np.take_along_axis(freqs, symbols[:, None].astype(np.int64), 1)[:, 0]
    bits: npt.NDArray[np.float64] = PRECISION_BITS - np.log2(chosen, dtype=np.float64)
    return bits


def quantized_code_length_bits(freqs: Freqs, symbols: npt.NDArray[np.integer[Any]]) -> float:
    """Returns the sum of -log2(frequency / total) over symbols (n,) with freqs (n, V)."""
    return float(symbol_bits(freqs, symbols).sum())


class RangeEncoder:
    """Encodes symbols, first in, first out."""

    def __init__(self) -> None:
        self._encoder = constriction.stream.queue.RangeEncoder()

    def encode(self, symbols: npt.NDArray[np.int32], freqs: Freqs) -> None:
        """Appends symbols, int32 (n,), each under its own row of freqs, float32 (n, V)."""
        if len(symbols):
            self._encoder.encode(symbols, _family(), freqs)

    def encode_intervals(
        self, starts: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]
    ) -> None:
        """Appends symbols by their intervals in 0 .. 2**PRECISION_BITS, each (n,).

        The rest is at least 2 wide. As only the interval counts, a symbol is the middle one of
        three; one at the border is the first or the last, and the rest is cut in two.
        """
        before, after = starts, (1 << PRECISION_BITS) - starts - widths
        symbols = np.where(before == 0, 0, np.where(after == 0, 2, 1)).astype(np.int32)
        rows = np.empty((len(symbols), 3), np.float32)
        rows[:, 0] = np.where(before == 0, widths, before - (after == 0))
        rows[:, 1] = np.where(before == 0, after - 1, np.where(after == 0, 1, widths))
        rows[:, 2] = np.where(before == 0, 1, np.where(after == 0, widths, after))
        rows -= 1
        self.encode(symbols, rows)

    def payload(self) -> bytes:
        """Returns the bytes so far, sealed: 32-bit words, little-endian."""
        return np.asarray(self._encoder.get_compressed(), dtype="<u4").tobytes()

    def short_payload(self) -> bytes:
        """Returns the bytes so far, as few as decode: high bytes first, the end cut short.

        Any point in the coder's last interval will do, and a decoder reads zeros after the end.
        `long_payload` gives what a `RangeDecoder` takes.
        """
        num_words, (low, size) = self._encoder.pos()
        words = np.asarray(self._encoder.get_compressed()[:num_words], dtype=">u4")
        # A point past 2**64 carries into the words before; they are those of the point of 4 bytes.
        carry = _round_up(low, 4) >> 64
        points = ((count, _round_up(low, count)) for count in range(5))
        count, point = next(
            (count, point) for count, point in points if point < low + size and point >> 64 == carry
        )
        return words.tobytes() + (point % 2**64).to_bytes(8, "big")[:count]


def _round_up(low: int, num_bytes: int) -> int:
    """Returns the first number from `low` on of which only the highest bytes of 8 are not zero."""
    unit = 1 << (64 - 8 * num_bytes)
    return -(-low // unit) * unit


def long_payload(short: bytes) -> bytes:
    """Returns the 32-bit words, little-endian, that `RangeEncoder.short_payload` cut short."""
    padded = short + bytes(-len(short) % 4)
    return np.frombuffer(padded, dtype=">u4").astype("<u4").tobytes()


class SymbolDecoder:
    """Decodes one symbol at a time, without compiled code: slow, and ready at once."""

    def __init__(self, payload: bytes) -> None:
        words = np.frombuffer(payload, dtype="<u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)

    def decode(self, freqs: Freqs) -> int:
        """Returns the next symbol under freqs (1, V)."""
        return int(self._decoder.decode(_family(), freqs)[0])
