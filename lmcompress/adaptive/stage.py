"""The stage itself: encoder and decoder predict and learn in the same sequence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.ends import new_ends
from lmcompress.adaptive.state import LARGE, MIN_SIZE_BITS, SMALL, State, new_state
from lmcompress.adaptive.state_pointer import addresses_of, state_at
from lmcompress.adaptive.steps import (
    end_bytes,
    learn_bit,
    learn_ends,
    predict_bits,
    predict_ends,
    start_bytes,
)
from lmcompress.adaptive.text import end_token
from lmcompress.errors import CorruptFrameError
from lmcompress.jit.compiler import lean_kernel
from lmcompress.range_coder import Freqs, RangeEncoder, quantized_code_length_bits
from lmcompress.range_decoder import RangeDecoder, decode_symbol
from lmcompress.tokenizer.rounds import ALWAYS, NEVER, Rounds
from lmcompress.tokenizer.spelling import (
    SPELLS_NOTHING,
    TokenWalk,
    child,
    end_of,
    fill_freqs,
)

ENDS_WITHIN = "a lane ends within a token: the file is damaged"
_SPELLS_NOTHING, _ENDS_WITHIN = 1, 2
_ALWAYS, _NEVER = ALWAYS, NEVER
_STEPS = 16384
"""Steps of a segment that are decoded in one call, between which it can be interrupted."""
Lanes = npt.NDArray[np.int32]


@lean_kernel
def _encode(addresses, end_addresses, sizes, lanes, symbols, freqs, ends, is_end, out, bits):
    """Predicts and learns rounds; returns how many bits there are."""
    S, E = state_at(addresses), state_at(end_addresses)
    row, start = 0, 0
    for r in range(sizes.shape[0]):
        stop = start + np.int64(sizes[r])
        start_bytes(S, lanes, freqs, start, stop)
        for bit in range(8):
            predict_bits(S, lanes, bit, start, stop, out, row)
            for k in range(start, stop):
                y = (np.int64(symbols[k]) >> (7 - bit)) & 1
                bits[row + k - start] = y
                learn_bit(S, lanes[k], bit, y)
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


@lean_kernel
def _decode(addresses, coders, words, lanes, freqs, is_token, out, symbols):
    """Decodes a byte of each lane of a round, each of which may be a token."""
    S, count = state_at(addresses), lanes.shape[0]
    _decode_round(S, coders[0], words, lanes, freqs, count, out)
    for k in range(count):
        symbols[k] = S.lanes[lanes[k]].c0 & 255
        if is_token:
            end_token(S.lanes[lanes[k]])


@lean_kernel
def _decode_round(S, coder, words, lanes, freqs, count, out):
    """Decodes a byte of each of the first `count` of lanes, under rows of freqs."""
    start_bytes(S, lanes, freqs, 0, count)
    for bit in range(8):
        predict_bits(S, lanes, bit, 0, count, out, 0)
        for k in range(count):
            learn_bit(S, lanes[k], bit, np.int64(decode_symbol(coder, words, out, k)))
    end_bytes(S, lanes, 0, count)


@lean_kernel
def _decode_steps(addresses, coders, words, lanes, lengths, freqs, out, start, stop):
    """Decodes steps of lanes that rise no longer than the first, all bytes under the same freqs."""
    S, count = state_at(addresses), lanes.shape[0]
    for step in range(start, stop):
        while lengths[count - 1] <= step:
            count -= 1
        _decode_round(S, coders[0], words, lanes, freqs, count, out)
        for k in range(count):
            end_token(S.lanes[lanes[k]])


@lean_kernel
def _decode_ends(addresses, end_addresses, coders, words, lanes, ends, out, is_end):
    """Decodes whether tokens end, where that is open."""
    S, E = state_at(addresses), state_at(end_addresses)
    _decode_ends_round(S, E, coders[0], words, lanes, ends, lanes.shape[0], out, is_end)


@lean_kernel
def _decode_ends_round(S, E, coder, words, lanes, ends, count, out, is_end):
    """Decodes whether the tokens of the first `count` of lanes end."""
    predict_ends(S, E, lanes, ends, 0, count, out, 0)
    row = 0
    for k in range(count):
        if _NEVER < ends[k] < _ALWAYS:
            is_end[k] = decode_symbol(coder, words, out, row)
            row += 1
        else:
            is_end[k] = ends[k] == _ALWAYS
    learn_ends(S, E, lanes, ends, is_end, 0, count)


@lean_kernel
def _decode_tokens(
    addresses, end_addresses, coders, words, trie, sums, lanes, at, stops, raw, nodes,
    spelling, freqs, ends, out, is_end,
):  # fmt: skip
    """Decodes a token in each lane, byte by byte; returns what is wrong, or 0."""
    S, E, count = state_at(addresses), state_at(end_addresses), lanes.shape[0]
    for k in range(count):
        spelling[k] = lanes[k]
    while count:
        for k in range(count):
            fill_freqs(trie, nodes[spelling[k]], sums[spelling[k]], freqs, k)
        _decode_round(S, coders[0], words, spelling, freqs, count, out)
        for k in range(count):
            lane = spelling[k]
            letter = S.lanes[lane].c0 & 255
            raw[at[lane]] = letter
            at[lane] += 1
            node = child(trie, nodes[lane], letter)
            if node < 0:
                return _SPELLS_NOTHING
            nodes[lane] = node
            ends[k] = end_of(trie, node, sums[lane])
        _decode_ends_round(S, E, coders[0], words, spelling, ends, count, out, is_end)
        going_on = 0
        for k in range(count):
            lane = spelling[k]
            if is_end[k]:
                continue
            if at[lane] == stops[lane]:
                return _ENDS_WITHIN
            spelling[going_on] = lane
            going_on += 1
        count = going_on
    return 0


class AdaptiveStage:
    """Sits between what a model says of bytes and the coder, for one segment."""

    def __init__(
        self,
        lengths: Sequence[int],
        primed: AdaptiveStage | None = None,
        *,
        of_tokens: bool = False,
        is_large: bool = False,
        min_size_bits: int = MIN_SIZE_BITS,
        without: Collection[str] = (),
    ) -> None:
        """Starts from a copy of what `primed` has learned, if given.

        Args:
          lengths: Bytes of each lane.
          primed: The stage after a prompt, for the same kind of model.
          of_tokens: Whether the model's tokens may have several bytes.
          is_large: Whether it has more than MOST_PARAMETERS parameters.
          min_size_bits: At least 2**min_size_bits buckets.
          without: Some of `state.PARTS`, left out for measurements only: no file can record it.
        """
        tuning, before = LARGE if is_large else SMALL, primed.state if primed else None
        self.state: State = new_state(lengths, tuning, before, min_size_bits, without)
        self.ends: State | None = None
        if of_tokens:
            self.ends = new_ends(len(lengths), primed.ends if primed else None)
        addresses = addresses_of(self.state)
        self._addresses = addresses, addresses_of(self.ends) if self.ends else addresses

    def arrays(self) -> list[npt.NDArray[Any]]:
        """Returns all that was learned; `restored` gives a stage to continue from."""
        return [*self.state, *(self.ends or ())]

    @classmethod
    def restored(cls, arrays: Sequence[npt.NDArray[Any]]) -> AdaptiveStage:
        """Inverts `arrays`, for `primed` alone: it predicts no more."""
        stage, size = object.__new__(cls), len(State._fields)
        stage.state = State(*arrays[:size])
        stage.ends = State(*arrays[size:]) if len(arrays) > size else None
        return stage

    def encode(self, encoder: RangeEncoder, rounds: Rounds) -> None:
        """Encodes the bytes of rounds."""
        encoder.encode(*self.predict(rounds))

    def code_length(self, rounds: Rounds) -> float:
        """Returns the bits that `encode` would take, and learns as it does."""
        bits, freqs = self.predict(rounds)
        return quantized_code_length_bits(freqs, bits)

    def predict(self, rounds: Rounds) -> tuple[npt.NDArray[np.int32], Freqs]:
        """Returns all decisions of rounds (n,) and their freqs (n, 2), and learns from them."""
        size = 9 * len(rounds.symbols)
        out, bits = np.empty((size, 2), np.float32), np.empty(size, np.int32)
        count = _encode(*self._addresses, *rounds.arrays(), out, bits)
        return bits[:count], out[:count]

    def decode(self, decoder: RangeDecoder, lanes: Lanes, freqs: Freqs) -> npt.NDArray[np.uint8]:
        """Decodes a byte of each of some lanes (k,), rising, under freqs (k, 256)."""
        out, symbols = np.empty((len(lanes), 2), np.float32), np.empty(len(lanes), np.uint8)
        coder = decoder.coder, decoder.words
        _decode(self._addresses[0], *coder, lanes, freqs, self.ends is None, out, symbols)
        decoder.check()
        return symbols

    def decode_tokens(
        self,
        decoder: RangeDecoder,
        walk: TokenWalk,
        lanes: Lanes,
        raw: npt.NDArray[np.uint8],
        at: npt.NDArray[np.int64],
        stops: npt.NDArray[np.int64],
    ) -> None:
        """Decodes a token in each of some lanes (k,), as `decode` and `decode_ends` do in turn.

        Args:
          decoder: What it is read from.
          walk: What the model says, whose sums are on the host.
          lanes: Rising.
          raw: Where bytes go.
          at: Where the next byte of each lane goes; moved on.
          stops: Where each lane ends.

        Raises:
          CorruptFrameError: If the bytes spell no token, or end within one.
        """
        count, sums = len(lanes), walk.host_sums
        assert sums is not None
        wrong = _decode_tokens(
            *self._addresses, decoder.coder, decoder.words, walk.trie, sums, lanes, at, stops, raw,
            walk.nodes, np.empty(count, np.int32), np.empty((count, 256), np.float32),
            np.empty(count, np.int32), np.empty((count, 2), np.float32), np.empty(count, np.bool_),
        )  # fmt: skip
        decoder.check()
        if wrong:
            raise CorruptFrameError(SPELLS_NOTHING if wrong == _SPELLS_NOTHING else ENDS_WITHIN)

    def decode_all(
        self,
        decoder: RangeDecoder,
        lengths: Sequence[int],
        freqs: Freqs,
        progress: Callable[[int], None] | None = None,
    ) -> bytes:
        """Decodes a whole segment, if the model says the same freqs (256,) of every byte."""
        lanes, sizes = np.arange(len(lengths), dtype=np.int32), np.array(lengths, np.int64)
        rows, out = np.tile(freqs, (len(lanes), 1)), np.empty((len(lanes), 2), np.float32)
        coder = decoder.coder, decoder.words
        for start in range(0, lengths[0], _STEPS):
            stop = min(start + _STEPS, lengths[0])
            _decode_steps(self._addresses[0], *coder, lanes, sizes, rows, out, start, stop)
            decoder.check()
            if progress:
                done = np.minimum(sizes, stop) - np.minimum(sizes, start)
                progress(int(done.sum()))
        return self.state.history[self.state.lanes["begin"][0] :].tobytes()

    def decode_ends(
        self, decoder: RangeDecoder, lanes: Lanes, ends: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.bool_]:
        """Decodes whether the token of each of some lanes ends; the model's `ends` (k,)."""
        out, is_end = np.empty((len(lanes), 2), np.float32), np.empty(len(lanes), np.bool_)
        coder = decoder.coder, decoder.words
        _decode_ends(*self._addresses, *coder, lanes, ends, out, is_end)
        decoder.check()
        return is_end
