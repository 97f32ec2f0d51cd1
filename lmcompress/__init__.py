"""Lossless compression with language models whose arithmetic is exact.

    >>> import lmcompress
    >>> frame = lmcompress.compress(b"to be or not to be, that is the question")
    >>> lmcompress.decompress(frame)
    b'to be or not to be, that is the question'

Importing this module is light: torch and numba are imported when a model is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmcompress.errors import LmcompressError

if TYPE_CHECKING:
    from lmcompress.api import compress, decompress, open
    from lmcompress.codec.config import CodecConfig
    from lmcompress.codec.prompt import Prompt
    from lmcompress.codec.scoring import Score, score
    from lmcompress.models.store import Model, load_model

__version__ = "0.1.0"

__all__ = [
    "CodecConfig",
    "LmcompressError",
    "Model",
    "Prompt",
    "Score",
    "compress",
    "decompress",
    "load_model",
    "open",
    "score",
]

_HOMES = {
    "CodecConfig": "codec.stream",
    "Model": "models.store",
    "Prompt": "codec.prompt",
    "Score": "codec.scoring",
    "compress": "api",
    "decompress": "api",
    "load_model": "models.store",
    "open": "api",
    "score": "codec.scoring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lmcompress' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"lmcompress.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
