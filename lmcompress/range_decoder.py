"""Decodes what `RangeEncoder` encoded, in compiled code that the adaptive stage calls for each bit.

This is the decoder of constriction's queue (Bamler, 2022) with words of 32 bits and a state of 64;
the tests hold it equal to that. Unlike that one, it knows where in the payload it is, so damage
cannot make it go on for long after the payload's end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lmcompress.errors import CorruptFrameError
from lmcompress.jit.compiler import lean_kernel
from lmcompress.range_coder import PRECISION_BITS, Freqs

_U = np.uint64
_PRECISION, _WORD = _U(PRECISION_BITS), _U(32)
_MAX_QUANTILE, _RENORMALIZE = _U((1 << PRECISION_BITS) - 1), _U(1 << 32)
_MAX_ZEROS = 2
"""Words that an encoder may leave out at the end, where a decoder reads zeros."""

CODER = np.dtype(
    [("lower", "u8"), ("size", "u8"), ("point", "u8"), ("next", "i8"), ("damage", "i8")]
)
"""The interval, the point that names the text, and the next word to read."""
_INVALID, _TOO_SHORT = 1, 2
"""Kinds of damage; 0 is none."""


@lean_kernel
def _scale(coder):
    """Returns what a frequency of 1 is worth now."""
    return coder.size >> _PRECISION


@lean_kernel
def _quantile(coder, scale):
    """Returns the point's place among the frequencies."""
    found = (coder.point - coder.lower) // scale
    if found > _MAX_QUANTILE:
        coder.damage, found = _INVALID, _MAX_QUANTILE
    return np.int64(found)


@lean_kernel
def _narrow(coder, words, scale, left, frequency):
    """Narrows the interval to the symbol that begins at a frequency, and refills the point."""
    coder.lower += scale * _U(left)
    coder.size = scale * _U(frequency)
    if coder.size >= _RENORMALIZE:
        return
    coder.lower <<= _WORD
    coder.size <<= _WORD
    word = _U(0)
    if coder.next < words.shape[0]:
        word = _U(words[coder.next])
    elif coder.next >= words.shape[0] + _MAX_ZEROS and not coder.damage:
        coder.damage = _TOO_SHORT
    coder.point = coder.point << _WORD | word
    coder.next += 1


@lean_kernel
def decode_symbol(coder, words, freqs, row):
    """Returns the next symbol, under a row of freqs (n, V)."""
    scale = _scale(coder)
    quantile = _quantile(coder, scale)
    left, symbol, last = np.int64(0), 0, freqs.shape[1] - 1
    frequency = np.int64(freqs[row, 0]) + 1
    while symbol < last and left + frequency <= quantile:
        left += frequency
        symbol += 1
        frequency = np.int64(freqs[row, symbol]) + 1
    _narrow(coder, words, scale, left, frequency)
    return symbol


@lean_kernel
def _decode(coders, words, freqs, symbols):
    for row in range(freqs.shape[0]):
        symbols[row] = decode_symbol(coders[0], words, freqs, row)


class RangeDecoder:
    """Decodes symbols, given the same freqs in the same order as the encoder."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4:
            raise CorruptFrameError(
                f"payload has {len(payload)} bytes, expected a multiple of 4: the file is damaged"
            )
        self.words: npt.NDArray[np.uint32] = np.frombuffer(payload, "<u4").astype(np.uint32)
        self.coder = np.zeros(1, CODER)
        high, low = [*self.words[:2].tolist(), 0, 0][:2]
        self.coder["size"], self.coder["next"] = 2**64 - 1, 2
        self.coder["point"] = high << 32 | low

    def decode(self, freqs: Freqs) -> npt.NDArray[np.int32]:
        """Returns the next symbols, int32 (n,), one for each row of freqs (n, V)."""
        symbols = np.empty(len(freqs), np.int32)
        _decode(self.coder, self.words, freqs, symbols)
        self.check()
        return symbols

    def check(self) -> None:
        """Raises CorruptFrameError if what was decoded cannot have been encoded."""
        damage = int(self.coder["damage"][0])
        if damage == _INVALID:
            raise CorruptFrameError("payload cannot be decoded: the file is damaged")
        if damage == _TOO_SHORT:
            raise CorruptFrameError(
                f"payload of {4 * len(self.words):,} bytes ends too early: the file is damaged"
            )
