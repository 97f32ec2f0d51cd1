"""Segments of bytes: encoding and decoding side by side.

A stage sits between predictor and coder: the adaptive one, or one that passes frequencies through.
The methods tried on a segment share the predictor's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec.config import Progress
from lmcompress.codec.lanes import LaneLayout, segment_blocks
from lmcompress.codec.predictor import Predictor
from lmcompress.codec.prompt import PromptState
from lmcompress.codec.session import Opened
from lmcompress.format.frame import Method
from lmcompress.range_coder import Freqs, RangeDecoder, RangeEncoder


class Stage(Protocol):
    """Sits between predictor and coder; new for each segment."""

    def encode(self, encoder: RangeEncoder, symbols: npt.NDArray[np.int32], freqs: Freqs) -> None:
        """Encodes symbols (n,), step-major, under freqs (steps, lanes, vocab_size)."""

    def decode(
        self, decoder: RangeDecoder, freqs: Freqs, active: int
    ) -> npt.NDArray[np.integer[Any]]:
        """Decodes one step of the first `active` lanes under freqs (lanes, vocab_size)."""


class DirectStage:
    """Passes frequencies through unchanged."""

    def encode(self, encoder: RangeEncoder, symbols: npt.NDArray[np.int32], freqs: Freqs) -> None:
        """Encodes symbols (n,), step-major, under freqs (steps, lanes, vocab_size)."""
        encoder.encode(symbols, freqs.reshape(-1, freqs.shape[-1])[: len(symbols)])

    def decode(
        self, decoder: RangeDecoder, freqs: Freqs, active: int
    ) -> npt.NDArray[np.integer[Any]]:
        """Decodes one step of the first `active` lanes under freqs (lanes, vocab_size)."""
        return decoder.decode(freqs[:active])


def new_stage(method: Method, layout: LaneLayout, prompt: PromptState | None = None) -> Stage:
    """Returns the stage that a coding method uses."""
    if method is Method.CODED:
        return DirectStage()
    return AdaptiveStage(layout.lanes, layout.steps, prompt.stage if prompt else None)


def encode_segment(
    raw: bytes,
    opened: Opened[Predictor],
    methods: Sequence[Method] = (Method.CODED,),
    progress: Progress | None = None,
) -> list[RangeEncoder]:
    """Returns, for each method, the coder with the encoded segment.

    Args:
      raw: At least as many bytes as there are lanes.
      opened: A new predictor, whose predictions the methods share.
      methods: CODED, MIXED or both.
      progress: Called with the number of bytes done since its last call.
    """
    layout = LaneLayout(len(raw), opened.lanes)
    coders = [(RangeEncoder(), new_stage(method, layout, opened.prompt)) for method in methods]
    for tokens, symbols in segment_blocks(raw, opened.lanes, opened.block, opened.first_token):
        freqs = opened.predictor.predict(tokens)
        for encoder, stage in coders:
            stage.encode(encoder, symbols, freqs)
        if progress:
            progress(len(symbols))
    return [encoder for encoder, _ in coders]


def decode_segment(
    payload: bytes,
    raw_bytes: int,
    opened: Opened[Predictor],
    method: Method = Method.CODED,
    progress: Progress | None = None,
) -> bytes:
    """Inverts `encode_segment`; damage gives wrong bytes, which the caller's checksum catches."""
    layout, decoder = LaneLayout(raw_bytes, opened.lanes), RangeDecoder(payload)
    stage = new_stage(method, layout, opened.prompt)
    raw = np.zeros(raw_bytes, np.uint8)
    longer, others = layout.rows(raw)
    tokens = np.full((opened.lanes, 1), opened.first_token, np.int64)
    for step in range(layout.steps):
        freqs = opened.predictor.predict(tokens)[0]
        count = layout.active(step)
        decoded = stage.decode(decoder, freqs, count)
        tokens[:count, 0] = decoded
        longer[:, step] = decoded[: len(longer)]
        if step < layout.steps - 1:
            others[:, step] = decoded[len(longer) :]
        if progress:
            progress(count)
    return raw.tobytes()
