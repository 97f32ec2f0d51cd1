"""Segments of bytes: encoding and decoding side by side.

Between predictor and coder stands a stage: the adaptive one, or one that hands weights on. All
methods that a segment is tried with share what the predictor says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec.lanes import LaneLayout, segment_blocks
from lmcompress.codec.predictor import Predictor
from lmcompress.codec.prompt import Primer
from lmcompress.format.header import Method
from lmcompress.range_coder import RangeDecoder, RangeEncoder, Weights

Progress = Callable[[int], None]


class Stage(Protocol):
    """What stands between predictor and coder; new for each segment."""

    def encode(
        self, encoder: RangeEncoder, symbols: npt.NDArray[np.int32], weights: Weights
    ) -> None:
        """Encodes symbols (n,), step-major, under weights (steps, lanes, vocab_size)."""

    def decode(
        self, decoder: RangeDecoder, weights: Weights, active: int
    ) -> npt.NDArray[np.integer[Any]]:
        """Decodes one step of the first `active` lanes under weights (lanes, vocab_size)."""


class DirectStage:
    """Hands weights on as they are."""

    def encode(
        self, encoder: RangeEncoder, symbols: npt.NDArray[np.int32], weights: Weights
    ) -> None:
        """Encodes symbols (n,), step-major, under weights (steps, lanes, vocab_size)."""
        encoder.encode(symbols, weights.reshape(-1, weights.shape[-1])[: len(symbols)])

    def decode(
        self, decoder: RangeDecoder, weights: Weights, active: int
    ) -> npt.NDArray[np.integer[Any]]:
        """Decodes one step of the first `active` lanes under weights (lanes, vocab_size)."""
        return decoder.decode(weights[:active])


def new_stage(method: Method, layout: LaneLayout, primer: Primer | None = None) -> Stage:
    """Returns the stage of a method that codes."""
    if method is Method.CODED:
        return DirectStage()
    return AdaptiveStage(layout.lanes, layout.steps, primer.stage if primer else None)


def encode_segment(
    raw: bytes,
    predictor: Predictor,
    lanes: int,
    block: int,
    methods: Sequence[Method] = (Method.CODED,),
    progress: Progress | None = None,
    primer: Primer | None = None,
    *,
    short: bool = False,
) -> list[bytes]:
    """Returns one segment's payload for each method.

    The predictor must be new and have `lanes` lanes; the methods share what it predicts.

    Args:
      raw: At least `lanes` bytes.
      predictor: Gives the weights.
      lanes: Streams to cut the bytes into.
      block: Steps to ask the predictor for at once; changes speed only.
      methods: CODED, MIXED or both.
      progress: Called with the number of bytes done since its last call.
      primer: What was read before.
      short: Whether to cut the payloads short, as compact frames have them.
    """
    layout = LaneLayout(len(raw), lanes)
    coders = [(RangeEncoder(), new_stage(method, layout, primer)) for method in methods]
    first = primer.warm(predictor, lanes) if primer else predictor.bos_id
    for tokens, symbols in segment_blocks(raw, lanes, block, first):
        weights = predictor.predict(tokens)
        for encoder, stage in coders:
            stage.encode(encoder, symbols, weights)
        if progress:
            progress(len(symbols))
    return [encoder.short_payload() if short else encoder.payload() for encoder, _ in coders]


def decode_segment(
    payload: bytes,
    raw_bytes: int,
    predictor: Predictor,
    lanes: int,
    method: Method = Method.CODED,
    progress: Progress | None = None,
    primer: Primer | None = None,
) -> bytes:
    """Inverts `encode_segment`; damage gives wrong bytes, which the caller's checksum finds."""
    layout, decoder = LaneLayout(raw_bytes, lanes), RangeDecoder(payload)
    stage = new_stage(method, layout, primer)
    raw = np.zeros(raw_bytes, np.uint8)
    longer, others = layout.rows(raw)
    first = primer.warm(predictor, lanes) if primer else predictor.bos_id
    tokens = np.full((lanes, 1), first, np.int64)
    for step in range(layout.steps):
        weights = predictor.predict(tokens)[0]
        count = layout.active(step)
        decoded = stage.decode(decoder, weights, count)
        tokens[:count, 0] = decoded
        longer[:, step] = decoded[: len(longer)]
        if step < layout.steps - 1:
            others[:, step] = decoded[len(longer) :]
        if progress:
            progress(count)
    return raw.tobytes()
