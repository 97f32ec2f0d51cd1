"""A method at work on a segment, with a record of what each byte cost and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.evidence import SPEAKERS
from lmcompress.adaptive.explaining import ExplainingStage, Reasons
from lmcompress.adaptive.lookahead import LIKELIEST
from lmcompress.codec.segments import DirectStage, Stage, adaptive_stage
from lmcompress.codec.session import Opened
from lmcompress.format.frame import Method
from lmcompress.range_coder import PRECISION_BITS, Freqs, RangeEncoder, symbol_bits
from lmcompress.tokenizer.rounds import Rounds, is_open

_NETWORK = SPEAKERS.index("network")


@dataclasses.dataclass(frozen=True)
class Trace:
    """What n bytes cost and why, in the order of the text."""

    bits: npt.NDArray[np.float64]
    """What each costs, with the end of its token, (n,)."""
    end_bits: npt.NDArray[np.float64]
    """The part of it that says whether a token ends after it, (n,)."""
    model_bits: npt.NDArray[np.float64]
    """What it would cost if the model alone predicted; NaN without a model, (n,)."""
    is_token_start: npt.NDArray[np.bool_]
    """Whether a token begins with it, (n,)."""
    likeliest: npt.NDArray[np.uint8]
    """The likeliest bytes, (n, LIKELIEST); nothing was likely if their chances are 0."""
    chances: npt.NDArray[np.float32]
    """How likely they were, out of 1, (n, LIKELIEST)."""
    evidence: npt.NDArray[np.float32]
    """How far each of SPEAKERS spoke for it, (n, len(SPEAKERS)), in bits of the odds' logarithm."""

    @classmethod
    def empty(cls, count: int) -> Trace:
        """Returns the trace of bytes of which nothing is known yet."""
        return cls(
            np.zeros(count),
            np.zeros(count),
            np.full(count, np.nan),
            np.ones(count, np.bool_),
            np.zeros((count, LIKELIEST), np.uint8),
            np.zeros((count, LIKELIEST), np.float32),
            np.zeros((count, len(SPEAKERS)), np.float32),
        )

    def arrays(self) -> list[npt.NDArray[Any]]:
        """Returns the arrays in order."""
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def part(self, start: int, stop: int) -> Trace:
        """Returns a view of some bytes."""
        return Trace(*(array[start:stop] for array in self.arrays()))

    def copy_from(self, other: Trace) -> None:
        """Takes over all but `model_bits`."""
        for mine, its in zip(self.arrays(), other.arrays(), strict=True):
            if mine is not self.model_bits:
                mine[:] = its


class _CostEncoder(RangeEncoder):
    """A coder that remembers what each decision costs."""

    def __init__(self) -> None:
        super().__init__()
        self._bits: list[npt.NDArray[np.float64]] = []

    def encode(self, symbols: npt.NDArray[np.int32], freqs: Freqs) -> None:
        """Appends symbols, int32 (n,), each under its own row of freqs, float32 (n, V)."""
        super().encode(symbols, freqs)
        self._bits.append(symbol_bits(freqs, symbols))

    def take_bits(self) -> npt.NDArray[np.float64]:
        """Returns the bits of each decision since the last call."""
        bits, self._bits = np.concatenate(self._bits), []
        return bits


class Recording:
    """One method on one segment: its coder, and the trace of what it coded."""

    def __init__(self, method: Method, lengths: Sequence[int], opened: Opened) -> None:
        self.method, self.encoder = method, _CostEncoder()
        self.trace = Trace.empty(sum(lengths))
        self._at = np.cumsum(lengths) - np.array(lengths)
        """Where the next byte of each lane is."""
        self._stage: Stage = DirectStage()
        self._decisions = 1
        """Of each byte."""
        if method is not Method.CODED:
            self._stage = adaptive_stage(ExplainingStage, lengths, opened)
            self._decisions = 8

    def take(self, rounds: Rounds) -> None:
        """Encodes rounds, and enters them into the trace."""
        self._stage.encode(self.encoder, rounds)
        where, trace = self._places(rounds.lanes), self.trace
        byte_bits, end_bits = bits_of_rows(rounds, self.encoder.take_bits(), self._decisions)
        trace.bits[where], trace.end_bits[where] = byte_bits + end_bits, end_bits
        is_inner = where + 1 < len(trace.bits)
        trace.is_token_start[where[is_inner] + 1] = rounds.is_end[is_inner]
        if isinstance(self._stage, ExplainingStage):
            reasons = self._stage.reasons
        else:
            reasons = _reasons_of_model(rounds, byte_bits)
        trace.likeliest[where], trace.chances[where], trace.evidence[where] = reasons

    def _places(self, lanes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Returns where the bytes of rounds are in the segment, by the lane of each: (k,)."""
        order = np.argsort(lanes, kind="stable")
        counts = np.bincount(lanes, minlength=len(self._at))
        first = np.repeat(self._at - np.cumsum(counts) + counts, counts)
        places = np.empty(len(lanes), np.int64)
        places[order] = first + np.arange(len(lanes))
        self._at = self._at + counts
        return places


def bits_of_rows(
    rounds: Rounds, bits: npt.NDArray[np.float64], decisions: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns what each byte of rounds costs, and what the end of its token does: (k,) each.

    Args:
      rounds: k bytes.
      bits: What each decision costs, in the order in which they are coded: in each round the first
        decision of all bytes, the second ..., then whether tokens end, where that is open.
      decisions: Of each byte.
    """
    sizes = rounds.sizes.astype(np.int64)
    starts, choices = np.cumsum(sizes) - sizes, is_open(rounds.ends)
    choices_before: npt.NDArray[np.int64] = np.cumsum(choices) - choices
    base = decisions * starts + choices_before[starts]
    round_of = np.repeat(np.arange(len(sizes)), sizes)
    row = np.arange(len(rounds.symbols)) - starts[round_of]
    first, size = base[round_of] + row, sizes[round_of]
    byte_bits = bits[first[:, None] + np.arange(decisions) * size[:, None]].sum(axis=1)
    end_at = (
        (base + decisions * sizes)[round_of] + choices_before - choices_before[starts][round_of]
    )
    end_bits = np.zeros(len(row))
    end_bits[choices] = bits[end_at[choices]]
    return byte_bits, end_bits


def _reasons_of_model(rounds: Rounds, byte_bits: npt.NDArray[np.float64]) -> Reasons:
    """Returns the reasons where nobody but the model speaks."""
    freqs = rounds.freqs
    found = np.argpartition(freqs, -LIKELIEST, axis=1)[:, -LIKELIEST:]
    order = np.argsort(-np.take_along_axis(freqs, found, 1), axis=1, kind="stable")
    likeliest = np.take_along_axis(found, order, 1)
    chances = (1.0 + np.take_along_axis(freqs, likeliest, 1)) / (1 << PRECISION_BITS)
    evidence = np.zeros((len(freqs), len(SPEAKERS)), np.float32)
    chance = np.minimum(2.0**-byte_bits, 1 - 2.0**-PRECISION_BITS)
    evidence[:, _NETWORK] = np.log2(chance / (1 - chance))
    return Reasons(likeliest.astype(np.uint8), chances, evidence)
