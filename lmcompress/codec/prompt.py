"""Priming: a text that encoder and decoder have read before the first byte (zstd: a dictionary).

The GPT's context begins with the end of the prompt, and the adaptive stage has learned from all of
it, as if it had been a segment before. Only its hash and its name stand in the file.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec.lanes import LaneLayout, block_steps, segment_blocks
from lmcompress.codec.predictor import ContextPolicy, Predictor, new_predictor
from lmcompress.errors import LmcompressError
from lmcompress.models.store import Model

_MIN_SIZE_BITS = 20
"""Room for what comes after a small prompt: 2**20 buckets, 64 MiB."""
_CONTEXT_BLOCK = 64
_BYTES_A_LANE, _MAX_LANES = 8192, 16
"""Part of the format (docs/adaptive.md): a prompt is read in as many lanes for every file."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A text to read first. Raises ValueError if it is empty."""

    raw: bytes
    name: str = "prompt"
    """What a decoder without it asks for."""

    def __post_init__(self) -> None:
        """Checks that there is something to read."""
        if not self.raw:
            raise ValueError("the prompt is empty, expected at least one byte")

    @functools.cached_property
    def sha256(self) -> bytes:
        """SHA-256 of the text: what a file asks for."""
        return hashlib.sha256(self.raw).digest()


@dataclasses.dataclass(frozen=True)
class Primer:
    """What came of reading a prompt with a model."""

    stage: AdaptiveStage
    context: npt.NDArray[np.int64]
    """The prompt's last bytes, (n,): what each lane begins with."""

    def warm(self, predictor: Predictor, lanes: int) -> int:
        """Has a new predictor read the context but its last byte, which comes next; returns it."""
        tokens = np.tile(np.append(predictor.bos_id, self.context[:-1]), (lanes, 1))
        for start in range(0, tokens.shape[1], _CONTEXT_BLOCK):
            predictor.predict(tokens[:, start : start + _CONTEXT_BLOCK])
        return int(self.context[-1])


_last: tuple[tuple[bytes, bytes, ContextPolicy], Primer] | None = None
"""The newest primer, and what it was made from: many small files are compressed with one prompt."""


def check_prompt(prompt: Prompt | None, model: Model) -> None:
    """Raises LmcompressError if there is a prompt that the model cannot read."""
    if model.tokens and prompt:
        raise LmcompressError(
            f"model {model.name} reads tokens, a prompt is read in bytes: leave out --prompt"
        )


def primer_of(
    prompt: Prompt, model: Model, policy: ContextPolicy, device: str, threads: int
) -> Primer:
    """Reads a prompt with a model, or returns what came of it last time."""
    global _last
    key = (model.fingerprint, prompt.sha256, policy)
    last = _last  # another thread may change it
    if last is None or last[0] != key:
        last = _last = (key, _read(prompt.raw, model, policy, device, threads))
    return last[1]


def lanes_of(num_bytes: int) -> int:
    """Returns the number of lanes in which a prompt is read."""
    return max(1, min(_MAX_LANES, num_bytes // _BYTES_A_LANE))


def _read(raw: bytes, model: Model, policy: ContextPolicy, device: str, threads: int) -> Primer:
    lanes = lanes_of(len(raw))
    block = block_steps(lanes, threads, device)
    stage = AdaptiveStage(lanes, LaneLayout(len(raw), lanes).steps, min_size_bits=_MIN_SIZE_BITS)
    predictor = new_predictor(model.weights, lanes, block, policy, device, threads)
    try:
        for tokens, symbols in segment_blocks(raw, lanes, block, predictor.bos_id):
            stage.predict(symbols, predictor.predict(tokens))
    finally:
        predictor.close()
    length = 1 if model.weights is None else policy.overlap or model.weights.config.context_length
    context = np.frombuffer(raw[-length:], np.uint8).astype(np.int64)
    return Primer(stage, context)
