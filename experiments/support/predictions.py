"""A model's predictions of a text, as an encoder has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec.lanes import block_steps, segment_blocks
from lmcompress.codec.predictor import ContextPolicy, new_predictor, resolve_threads
from lmcompress.models.store import Model
from lmcompress.range_coder import Weights, quantized_code_length_bits


def predictions(
    raw: bytes, model: Model, lanes: int
) -> Iterator[tuple[npt.NDArray[np.int32], Weights]]:
    """Yields symbols (n,), step-major, and weights (steps, lanes, 256), block by block."""
    threads = resolve_threads(None)
    block = block_steps(lanes, threads)
    policy = ContextPolicy.of(model.weights)
    predictor = new_predictor(model.weights, lanes, block, policy, "cpu", threads)
    try:
        for tokens, symbols in segment_blocks(raw, lanes, block, predictor.bos_id):
            yield symbols, predictor.predict(tokens)
    finally:
        predictor.close()


def learned_bits(stage: AdaptiveStage, symbols: npt.NDArray[np.int32], weights: Weights) -> float:
    """Returns the quantized code length of symbols after the stage, which learns from them."""
    decisions, rows = stage.predict(symbols, weights)
    return quantized_code_length_bits(rows, decisions)
