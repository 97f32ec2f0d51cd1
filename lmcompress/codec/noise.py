"""Data that nothing makes smaller, recognized before a GPT has run over it."""

from __future__ import annotations

import zlib

import numpy as np

from lmcompress.codec.config import Progress
from lmcompress.codec.predictor import UniformPredictor
from lmcompress.codec.segments import encode_segment
from lmcompress.codec.session import Opened
from lmcompress.format.frame import Method

MIN_NOISE_BYTES = 1 << 16
"""Less is not tested: a model may know what so little does not show."""
_SAMPLES, _SAMPLE_BYTES = 16, 1 << 12
_BLOCK = 1 << 12


def is_noise(raw: bytes, progress: Progress | None = None) -> bool:
    """Whether zlib finds nothing in samples of raw, nor the adaptive stage alone in all of it.

    `progress` is called with 0 after each block, so that the caller can stop the search.
    """
    if len(raw) < MIN_NOISE_BYTES:
        return False
    starts = np.linspace(0, len(raw) - _SAMPLE_BYTES, _SAMPLES).astype(int)
    sample = b"".join(raw[start : start + _SAMPLE_BYTES] for start in starts)
    if len(zlib.compress(sample, 1)) < len(sample):
        return False
    return _coded_by_stage(raw, progress) >= len(raw)


def _coded_by_stage(raw: bytes, progress: Progress | None) -> int:
    """Returns how many bytes the adaptive stage alone makes of raw."""

    def on_block(_count: int) -> None:
        if progress:
            progress(0)

    predictor = UniformPredictor()
    opened = Opened(predictor, 1, _BLOCK, predictor.bos_id, None)
    symbols = np.frombuffer(raw, np.uint8).astype(np.int32)
    [encoder] = encode_segment(symbols, [len(raw)], opened, [Method.MIXED], on_block)
    return len(encoder.payload())
