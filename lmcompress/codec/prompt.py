"""Prompts: a text that encoder and decoder read before the first byte (zstd: a dictionary).

The GPT's context begins with the end of the prompt, and the adaptive stage has learned from all of
it, as if it had been a segment before. The file holds only its hash and its name.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.adaptive.state import PROMPT_SIZE_BITS
from lmcompress.codec.lanes import segment_blocks
from lmcompress.codec.predictor import ContextPolicy, Predictor

_CONTEXT_BLOCK = 64
_BYTES_A_LANE, _MAX_LANES = 8192, 16
"""Part of the format (docs/adaptive.md): the number of lanes depends on nothing but the prompt."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A text to read first. Raises TypeError unless it is bytes, ValueError if it is empty."""

    raw: bytes
    name: str = "prompt"
    """How an error names it to a decoder that lacks it."""

    def __post_init__(self) -> None:
        """Checks that it is bytes, and not empty."""
        if not isinstance(self.raw, bytes):
            raise TypeError(f"the prompt is of type {type(self.raw).__name__}, expected bytes")
        if not self.raw:
            raise ValueError("the prompt is empty, expected at least one byte")

    @functools.cached_property
    def sha256(self) -> bytes:
        """SHA-256 of the text, by which a file refers to it."""
        return hashlib.sha256(self.raw).digest()


PromptKey = tuple[bytes, bytes, ContextPolicy]
"""What a state depends on: the model's fingerprint, the prompt's SHA-256, the context policy."""


@dataclasses.dataclass(frozen=True)
class PromptState:
    """What a model and the adaptive stage know after reading a prompt."""

    stage: AdaptiveStage
    context: npt.NDArray[np.int64]
    """What the model reads of the prompt's end, (n,): each lane begins with it."""

    @classmethod
    def read(
        cls,
        symbols: npt.NDArray[np.int32],
        lengths: Sequence[int],
        predictor: Predictor,
        block: int,
        context_length: int,
    ) -> PromptState:
        """Reads a prompt with a new predictor, `block` steps at a time.

        Args:
          symbols: The prompt's bytes or tokens, (n,).
          lengths: Bytes of each lane.
          predictor: A new one, with one lane for each length.
          block: Steps to evaluate at once; changes speed only.
          context_length: How many of the last symbols a lane begins with.
        """
        stage = AdaptiveStage(
            lengths,
            of_tokens=predictor.of_tokens,
            is_large=predictor.is_large,
            min_size_bits=PROMPT_SIZE_BITS,
        )
        args = len(lengths), block, predictor, predictor.bos_id
        for tokens, coming in segment_blocks(symbols, *args):
            for rounds in predictor.spell(tokens, coming):
                stage.predict(rounds)
        return cls(stage, predictor.read_as(symbols[-context_length:]))

    def arrays(self) -> list[npt.NDArray[Any]]:
        """Returns all of it; `restored` inverts this."""
        return [self.context, *self.stage.arrays()]

    @classmethod
    def restored(cls, arrays: Sequence[npt.NDArray[Any]]) -> PromptState:
        """Returns the state that gave these arrays."""
        context, *learned = arrays
        return cls(AdaptiveStage.restored(learned), context)

    def read_into(self, predictor: Predictor, lanes: int) -> int:
        """Feeds a new predictor the context except its last token; returns that token."""
        tokens = np.tile(np.append(predictor.bos_id, self.context[:-1]), (lanes, 1))
        for start in range(0, tokens.shape[1], _CONTEXT_BLOCK):
            predictor.read(tokens[:, start : start + _CONTEXT_BLOCK])
        return int(self.context[-1])

    @staticmethod
    def last(key: PromptKey) -> PromptState | None:
        """Returns the state kept last if it belongs to `key`."""
        last = _last  # another thread may change it
        return last[1] if last is not None and last[0] == key else None

    def keep(self, key: PromptKey) -> PromptState:
        """Keeps the state for the next file, replacing the one before; returns it."""
        global _last
        _last = (key, self)
        return self


_last: tuple[PromptKey, PromptState] | None = None
"""The newest state: many small files are compressed with one prompt."""


def prompt_lanes(num_bytes: int) -> int:
    """Returns the number of lanes in which a prompt is read."""
    return max(1, min(_MAX_LANES, num_bytes // _BYTES_A_LANE))
