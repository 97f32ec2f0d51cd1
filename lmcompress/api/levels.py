"""Compression levels, as gzip and xz have them: one number for model, lanes and segment bytes."""

from __future__ import annotations

import dataclasses
from typing import Literal

from lmcompress.codec.config import DEFAULT_SEGMENT_BYTES
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL


@dataclasses.dataclass(frozen=True)
class Level:
    """What a level stands for."""

    model: str
    lanes: int | Literal["auto"] = "auto"
    segment_bytes: int = DEFAULT_SEGMENT_BYTES


# Other settings fit in between on some files only: small models with the adaptive stage are slower
# than the stage alone and not smaller, and a fixed number of lanes above 1 is more than automatic
# lanes on small files, fewer on large ones.
_FAST, _DEFAULT, _BEST = Level(NO_MODEL), Level(DEFAULT_MODEL), Level(DEFAULT_MODEL, lanes=1)

LEVELS: dict[int, Level] = {
    **dict.fromkeys((1, 2, 3), _FAST),
    **dict.fromkeys((4, 5, 6), _DEFAULT),
    **dict.fromkeys((7, 8, 9), _BEST),
}
"""Faster first, smaller last. Levels that share a setting make the same file; 6 is the default."""
FASTEST, BEST = min(LEVELS), max(LEVELS)
