"""Segments: encoding and decoding side by side.

Every model says how likely each next byte is, whether it steps through bytes or tokens. A stage
sits between what it says and the coder: the adaptive one, or one that passes it through. The
methods tried on a segment share the predictor's output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.adaptive.stage import ENDS_WITHIN
from lmcompress.codec.config import Progress
from lmcompress.codec.lanes import segment_blocks
from lmcompress.codec.predictor import OnLogits, Walk
from lmcompress.codec.session import Opened
from lmcompress.errors import CorruptFrameError
from lmcompress.format.frame import Method
from lmcompress.range_coder import PRECISION_BITS, Freqs, RangeEncoder
from lmcompress.range_decoder import RangeDecoder
from lmcompress.tokenizer.intervals import intervals_of
from lmcompress.tokenizer.rounds import ALWAYS, Rounds, is_open
from lmcompress.tokenizer.spelling import TokenWalk

Lanes = npt.NDArray[np.int32]
AnyStage = TypeVar("AnyStage", bound=AdaptiveStage)


class Stage(Protocol):
    """Sits between predictor and coder; new for each segment."""

    def encode(self, encoder: RangeEncoder, rounds: Rounds) -> None:
        """Encodes the bytes of rounds, and the ends of their tokens."""

    def code_length(self, rounds: Rounds) -> float:
        """Returns the bits that `encode` would take, and learns as it does."""

    def decode(self, decoder: RangeDecoder, lanes: Lanes, freqs: Freqs) -> npt.NDArray[np.uint8]:
        """Decodes a byte of each of some lanes (k,), rising, under freqs (k, 256)."""

    def decode_ends(
        self, decoder: RangeDecoder, lanes: Lanes, ends: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.bool_]:
        """Decodes whether the token of each of some lanes ends; the model's `ends` (k,)."""


class DirectStage:
    """Codes what the model says as it is."""

    def encode(self, encoder: RangeEncoder, rounds: Rounds) -> None:
        """Encodes the bytes of rounds, and the ends of their tokens."""
        encoder.encode_intervals(*intervals_of(rounds))

    def code_length(self, rounds: Rounds) -> float:
        """Returns the bits that `encode` takes."""
        _, widths = intervals_of(rounds)
        return float((PRECISION_BITS - np.log2(widths)).sum())

    def decode(self, decoder: RangeDecoder, lanes: Lanes, freqs: Freqs) -> npt.NDArray[np.uint8]:
        """Decodes a byte of each of some lanes (k,), rising, under freqs (k, 256)."""
        return decoder.decode(freqs).astype(np.uint8)

    def decode_ends(
        self, decoder: RangeDecoder, lanes: Lanes, ends: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.bool_]:
        """Decodes whether the token of each of some lanes ends; the model's `ends` (k,)."""
        choices = is_open(ends)
        is_end: npt.NDArray[np.bool_] = ends == ALWAYS
        if choices.any():
            is_end[choices] = decoder.decode(_end_freqs(ends[choices]))
        return is_end


def _end_freqs(ends: npt.NDArray[np.int32]) -> Freqs:
    """Returns freqs (n, 2) of no end and of an end; the coder adds 1 to each."""
    return np.stack((ALWAYS - ends - 1, ends - 1), axis=1).astype(np.float32)


def new_stage(method: Method, lengths: Sequence[int], opened: Opened) -> Stage:
    """Returns the stage that a coding method uses for lanes of these lengths, in bytes."""
    if method is Method.CODED:
        return DirectStage()
    return adaptive_stage(AdaptiveStage, lengths, opened)


def adaptive_stage(kind: type[AnyStage], lengths: Sequence[int], opened: Opened) -> AnyStage:
    """Returns an adaptive stage of some kind for lanes of these lengths, in bytes."""
    model, primed = opened.predictor, opened.prompt.stage if opened.prompt else None
    return kind(lengths, primed, of_tokens=model.of_tokens, is_large=model.is_large)


def encode_segment(
    symbols: npt.NDArray[np.int32],
    lengths: Sequence[int],
    opened: Opened,
    methods: Sequence[Method] = (Method.CODED,),
    progress: Progress | None = None,
) -> list[RangeEncoder]:
    """Returns, for each method, the coder with the encoded segment.

    Args:
      symbols: Bytes or tokens (n,), at least one for each lane.
      lengths: Bytes of each lane.
      opened: A new predictor, whose predictions the methods share.
      methods: One or more, but not STORED.
      progress: Called with the number of bytes done since its last call.
    """
    coders = [(RangeEncoder(), new_stage(method, lengths, opened)) for method in methods]
    for rounds in segment_rounds(symbols, opened, progress):
        for encoder, stage in coders:
            stage.encode(encoder, rounds)
    return [encoder for encoder, _ in coders]


def segment_rounds(
    symbols: npt.NDArray[np.int32],
    opened: Opened,
    progress: Progress | None = None,
    on_logits: OnLogits | None = None,
) -> Iterator[Rounds]:
    """Yields what a new predictor says of a segment's bytes, in the order of the codec.

    Args:
      symbols: Bytes or tokens (n,), at least one for each lane.
      opened: The predictor.
      progress: Called with the number of bytes of what was taken.
      on_logits: See `Predictor.spell`.
    """
    args = opened.lanes, opened.block, opened.predictor, opened.first_token
    for tokens, coming in segment_blocks(symbols, *args):
        for rounds in opened.predictor.spell(tokens, coming, on_logits):
            yield rounds
            if progress:
                progress(len(rounds.symbols))


def decode_segment(
    payload: bytes,
    lengths: Sequence[int],
    opened: Opened,
    method: Method = Method.CODED,
    progress: Progress | None = None,
) -> bytes:
    """Inverts `encode_segment`; damage gives wrong bytes, which the caller's checksum catches.

    Raises:
      CorruptFrameError: If the payload cannot be decoded.
    """
    decoder, stage = RangeDecoder(payload), new_stage(method, lengths, opened)
    same = opened.predictor.same_for_all
    if same is not None and isinstance(stage, AdaptiveStage):
        return stage.decode_all(decoder, lengths, same, progress)
    stops: npt.NDArray[np.int64] = np.cumsum(np.array(lengths, np.int64))
    at, raw = stops - lengths, np.zeros(int(stops[-1]), np.uint8)
    lanes = np.arange(len(lengths), dtype=np.int32)
    tokens = np.full((len(lengths), 1), opened.first_token, np.int64)
    while len(lanes):
        walk, before = opened.predictor.walk(tokens), at[lanes].sum()
        if isinstance(stage, AdaptiveStage) and _is_on_host(walk):
            stage.decode_tokens(decoder, walk, lanes, raw, at, stops)
        else:
            _decode_by_rounds(stage, decoder, walk, lanes, raw, at, stops)
        if progress:
            progress(int(at[lanes].sum() - before))
        tokens[lanes, 0] = opened.predictor.read_as(walk.symbols(lanes))
        lanes = lanes[at[lanes] < stops[lanes]]
    return raw.tobytes()


def _is_on_host(walk: Walk) -> TypeGuard[TokenWalk]:
    return isinstance(walk, TokenWalk) and walk.host_sums is not None


def _decode_by_rounds(
    stage: Stage,
    decoder: RangeDecoder,
    walk: Walk,
    spelling: Lanes,
    raw: npt.NDArray[np.uint8],
    at: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
) -> None:
    """Decodes a token in each lane, a byte of each at a time, and moves `at` on."""
    while len(spelling):
        letters = stage.decode(decoder, spelling, walk.freqs(spelling))
        raw[at[spelling]] = letters
        at[spelling] += 1
        ends = walk.enter(spelling, letters)
        if ends is None:
            return
        spelling = spelling[~stage.decode_ends(decoder, spelling, ends)]
        if (at[spelling] == stops[spelling]).any():
            raise CorruptFrameError(ENDS_WITHIN)
