"""Settings for compressing and decompressing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from lmcompress.codec.prompt import Prompt
from lmcompress.format.header import MAX_SEGMENT_BYTES

DEFAULT_SEGMENT_BYTES = 16 << 20
DEFAULT_PROMPT_CACHE = 1 << 30
DEFAULT_MEMORY_LIMIT = 3 << 29
MAX_LANES = 4096

Progress = Callable[[int], None]
"""Called with the number of bytes done since its last call."""


@dataclasses.dataclass(frozen=True)
class CodecConfig:
    """How to compress and decompress. With fixed `lanes`, device and threads change no bit."""

    lanes: int | Literal["auto"] = "auto"
    """Streams that the model steps through together: more are faster, fewer compress better.

    "auto" chooses by the size of the segment, and takes more on a GPU.
    """
    segment_bytes: int = DEFAULT_SEGMENT_BYTES
    adaptive: bool = True
    """Whether to try the adaptive stage; a segment skips it where it does not help."""
    prompt: Prompt | None = None
    """A text that encoder and decoder read first."""
    prompt_cache: int = DEFAULT_PROMPT_CACHE
    """Disk space, in bytes, for prompts that were read, in the user's cache; 0 turns it off."""
    compact: bool = False
    """Whether to write a compact frame: one segment, a header of some 20 bytes, no names."""
    device: str = "auto"
    """auto, cpu, cuda, or reference: the plain definition, slow, for tests."""
    threads: int | None = None
    """CPU threads; None means one for each core that this process may run on."""
    memory_limit: int = DEFAULT_MEMORY_LIMIT
    """Bytes that the segments coded at once may take, besides the model's weights:
    `codec/memory.py`."""
    output_limit: int | None = None
    """Bytes that a file may decompress to; None for any number."""

    def __post_init__(self) -> None:
        """Checks the values."""
        if not isinstance(self.prompt, Prompt | None):
            raise TypeError(f"prompt is of type {type(self.prompt).__name__}, expected Prompt")
        if self.lanes != "auto" and not _is_count(self.lanes, MAX_LANES):
            raise ValueError(f"lanes is {self.lanes!r}, expected 1 to {MAX_LANES} or auto")
        if not _is_count(self.segment_bytes, MAX_SEGMENT_BYTES):
            raise ValueError(
                f"segment_bytes is {self.segment_bytes!r}, expected 1 to {MAX_SEGMENT_BYTES}"
            )
        if self.prompt_cache != 0 and not _is_count(self.prompt_cache):
            raise ValueError(f"prompt_cache is {self.prompt_cache!r}, expected bytes, or 0")
        if self.threads is not None and not _is_count(self.threads):
            raise ValueError(f"threads is {self.threads!r}, expected at least 1")
        if not _is_count(self.memory_limit):
            raise ValueError(f"memory_limit is {self.memory_limit!r}, expected bytes")
        if self.output_limit not in (None, 0) and not _is_count(self.output_limit):
            raise ValueError(f"output_limit is {self.output_limit!r}, expected bytes, or None")


def _is_count(value: object, most: float = math.inf) -> bool:
    """Whether a setting is a whole number from 1 to `most`."""
    return isinstance(value, int | np.integer) and 1 <= int(value) <= most
