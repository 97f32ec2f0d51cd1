"""Lossless compression with language models whose arithmetic is exact.

    >>> import lmcompress
    >>> frame = lmcompress.compress(b"to be or not to be, that is the question")
    >>> lmcompress.decompress(frame)
    b'to be or not to be, that is the question'

Importing this module is cheap: torch and numba are imported when a model is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmcompress.errors import (
    ClusterError,
    CorpusError,
    CorruptFrameError,
    FingerprintMismatchError,
    LimitExceededError,
    LmcompressError,
    MissingDependencyError,
    ModelNotFoundError,
    NotProvenError,
    PromptNotFoundError,
    TrainingError,
    TruncatedFrameError,
    UnsupportedModelError,
    UnsupportedVersionError,
)

if TYPE_CHECKING:
    from lmcompress.api.files import open
    from lmcompress.api.incremental import LmcCompressor, LmcDecompressor
    from lmcompress.api.info import FileInfo, FrameInfo, SegmentInfo, info
    from lmcompress.api.models import ModelInfo, fetch, list_models
    from lmcompress.api.one_shot import byte_costs, compress, decompress, score
    from lmcompress.codec.config import CodecConfig
    from lmcompress.codec.costs import ByteCosts
    from lmcompress.codec.prompt import Prompt
    from lmcompress.codec.scoring import Score
    from lmcompress.models.store import Model, load_model

__version__ = "0.1.0"

__all__ = [
    "ByteCosts",
    "ClusterError",
    "CodecConfig",
    "CorpusError",
    "CorruptFrameError",
    "FileInfo",
    "FingerprintMismatchError",
    "FrameInfo",
    "LimitExceededError",
    "LmcCompressor",
    "LmcDecompressor",
    "LmcompressError",
    "MissingDependencyError",
    "Model",
    "ModelInfo",
    "ModelNotFoundError",
    "NotProvenError",
    "Prompt",
    "PromptNotFoundError",
    "Score",
    "SegmentInfo",
    "TrainingError",
    "TruncatedFrameError",
    "UnsupportedModelError",
    "UnsupportedVersionError",
    "byte_costs",
    "compress",
    "decompress",
    "fetch",
    "info",
    "list_models",
    "load_model",
    "open",
    "score",
]

_HOMES = {
    "ByteCosts": "codec.costs",
    "CodecConfig": "codec.config",
    "FileInfo": "api.info",
    "FrameInfo": "api.info",
    "LmcCompressor": "api.incremental",
    "LmcDecompressor": "api.incremental",
    "Model": "models.store",
    "ModelInfo": "api.models",
    "Prompt": "codec.prompt",
    "Score": "codec.scoring",
    "SegmentInfo": "api.info",
    "byte_costs": "api.one_shot",
    "compress": "api.one_shot",
    "decompress": "api.one_shot",
    "fetch": "api.models",
    "info": "api.info",
    "list_models": "api.models",
    "load_model": "models.store",
    "open": "api.files",
    "score": "api.one_shot",
}
"""The module of each name that is imported when it is first used."""

if not TYPE_CHECKING:  # a type checker would take any name for one that is here

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module 'lmcompress' has no attribute {name!r}")
        from importlib import import_module

        from lmcompress.system.floating_point import default_floating_point

        with default_floating_point():  # in another one, Python compiles 1e-5 to another number
            home = import_module(f"lmcompress.{_HOMES[name]}")
        return getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
