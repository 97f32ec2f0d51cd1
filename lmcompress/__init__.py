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
    from lmcompress.codec import CodecConfig
    from lmcompress.model_store import Model, load_model
    from lmcompress.priming import Prompt
    from lmcompress.scoring import Score, score

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
    "CodecConfig": "codec",
    "Model": "model_store",
    "Prompt": "priming",
    "Score": "scoring",
    "compress": "api",
    "decompress": "api",
    "load_model": "model_store",
    "open": "api",
    "score": "scoring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lmcompress' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"lmcompress.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
