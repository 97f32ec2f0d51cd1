"""A model's predictions of a text, as an encoder has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.lanes import segment_blocks
from lmcompress.codec.session import Session
from lmcompress.models.store import Model
from lmcompress.range_coder import Freqs, quantized_code_length_bits


def predictions(
    raw: bytes, model: Model, lanes: int
) -> Iterator[tuple[npt.NDArray[np.int32], Freqs]]:
    """Yields symbols (n,), step-major, and freqs (steps, lanes, 256), block by block."""
    with Session(model, CodecConfig(device="cpu")).open_encoder(lanes) as opened:
        for tokens, symbols in segment_blocks(raw, lanes, opened.block, opened.first_token):
            yield symbols, opened.predictor.predict(tokens)


def learned_bits(stage: AdaptiveStage, symbols: npt.NDArray[np.int32], freqs: Freqs) -> float:
    """Returns the quantized code length of symbols after the stage, which learns from them."""
    decisions, rows = stage.predict(symbols, freqs)
    return quantized_code_length_bits(rows, decisions)
