"""Any compressor as a generative model, and a model as one: bytes drawn, or known and priced.

A codec's next byte b after x has probability proportional to 2^-(len(xb) - len(x)), lengths in bits
(Delétang et al., 2024, section 3.5). A model's comes from its exact frequencies, which a decoder
reads too: drawing is decoding from chance instead of from a file.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.benchmark.protocol import Codec
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.segments import DirectStage, Stage
from lmcompress.codec.session import Opened, Session
from lmcompress.models.store import Model
from lmcompress.range_coder import PRECISION_BITS, Freqs, symbol_bits
from lmcompress.range_decoder import RangeDecoder

_BYTES = 256
_LANE = np.zeros(1, np.int32)
_BUDGET = (1 << PRECISION_BITS) - _BYTES
_CHANCE_BYTES = 64
"""Enough for any byte."""


def chance(generator: np.random.Generator) -> RangeDecoder:
    """Returns a decoder of random bits: each symbol comes with the frequency that it has."""
    return RangeDecoder(generator.bytes(_CHANCE_BYTES))


class Source(Protocol):
    """Something that continues a sequence of bytes."""

    def read(self, raw: bytes) -> None:
        """Goes on past bytes that are given and need not be priced."""

    def draw(self, generator: np.random.Generator) -> int:
        """Returns a byte drawn from what may come next, and goes on past it."""

    def price(self, byte: int) -> float:
        """Returns the bits of the byte that comes next, and goes on past it."""


class CodecSource:
    """A codec, asked 256 times for each byte how much longer its output would get."""

    def __init__(self, codec: Codec) -> None:
        self._codec, self._before = codec, bytearray()

    @classmethod
    @contextlib.contextmanager
    def open(cls, codec: Codec) -> Iterator[CodecSource]:
        """Begins a sequence."""
        yield cls(codec)

    def read(self, raw: bytes) -> None:
        """Appends the bytes."""
        self._before += raw

    def draw(self, generator: np.random.Generator) -> int:
        """Returns a byte drawn from what may come next, and appends it."""
        byte = int(chance(generator).decode(self._freqs())[0])
        self._before.append(byte)
        return byte

    def price(self, byte: int) -> float:
        """Returns the bits of the byte that comes next, and appends it."""
        [bits] = symbol_bits(self._freqs(), np.array([byte]))
        self._before.append(byte)
        return float(bits)

    def _freqs(self) -> Freqs:
        before = bytes(self._before)
        return freqs_of_sizes(
            [len(self._codec.compress(before + bytes([b]))) for b in range(_BYTES)]
        )


class ModelSource:
    """A model of bytes in one lane, alone or with the adaptive stage; `steps` bytes at most."""

    def __init__(self, opened: Opened, steps: int, *, adaptive: bool) -> None:
        self._predictor, self._block = opened.predictor, opened.block
        self._stage: Stage = AdaptiveStage([steps]) if adaptive else DirectStage()
        self._last = opened.first_token

    @classmethod
    @contextlib.contextmanager
    def open(cls, model: Model, steps: int, *, adaptive: bool) -> Iterator[ModelSource]:
        """Opens the model for one sequence."""
        session = Session(model, CodecConfig(device="cpu", threads=1))
        with session.open_encoder(lanes=1) as opened:
            yield cls(opened, steps, adaptive=adaptive)

    def read(self, raw: bytes) -> None:
        """Reads many bytes in one pass, as an encoder does; the stage learns from them too."""
        for start in range(0, len(raw), self._block):
            symbols = np.frombuffer(raw[start : start + self._block], np.uint8).astype(np.int32)
            tokens = np.append(self._last, symbols[:-1]).astype(np.int64)
            for rounds in self._predictor.spell(tokens[None], symbols):
                self._stage.code_length(rounds)
            self._last = int(symbols[-1])

    def draw(self, generator: np.random.Generator) -> int:
        """Returns a byte drawn from what may come next; predictor and stage go on past it."""
        freqs = self._predictor.walk(np.array([[self._last]])).freqs(_LANE)
        self._last = int(self._stage.decode(chance(generator), _LANE, freqs)[0])
        return self._last

    def price(self, byte: int) -> float:
        """Returns the bits of the byte that comes next; predictor and stage go on past it."""
        symbols = np.array([byte], np.int32)
        [rounds] = self._predictor.spell(np.array([[self._last]]), symbols)
        self._last = byte
        return self._stage.code_length(rounds)


def freqs_of_sizes(sizes: Sequence[int]) -> Freqs:
    """Returns freqs (1, 256) of bytes after which the output has so many bytes."""
    extra = 8.0 * (np.asarray(sizes) - min(sizes))
    probs = np.exp2(-extra)
    freqs = np.floor(probs / probs.sum() * _BUDGET)
    freqs[np.argmax(probs)] += _BUDGET - freqs.sum()
    return np.asarray(freqs[None], np.float32)


def fill(
    source: Source, raw: bytes, is_free: npt.NDArray[np.bool_], generator: np.random.Generator
) -> bytes:
    """Returns `raw` with its free bytes drawn from the source, each after all that come before."""
    out = bytearray()
    for part, free in runs_of(raw, is_free):
        if free:
            out += bytes(source.draw(generator) for _ in part)
        else:
            source.read(part)
            out += part
    return bytes(out)


def price(source: Source, raw: bytes, is_free: npt.NDArray[np.bool_]) -> float:
    """Returns the bits per byte that the source gives to the true bytes in the free places."""
    bits = 0.0
    for part, free in runs_of(raw, is_free):
        if not free:
            source.read(part)
            continue
        bits += sum(map(source.price, part))
    return bits / int(is_free.sum())


def runs_of(raw: bytes, is_free: npt.NDArray[np.bool_]) -> Iterator[tuple[bytes, bool]]:
    """Yields the pieces of `raw` that are all free or all given, and which."""
    borders = [0, *(np.flatnonzero(np.diff(is_free)) + 1), len(raw)]
    for start, stop in itertools.pairwise(borders):
        yield raw[start:stop], bool(is_free[start])
