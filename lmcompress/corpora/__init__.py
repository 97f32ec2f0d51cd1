"""Named corpora: bytes that everyone can check by size and SHA-256."""

from lmcompress.corpora.homes import split_range
from lmcompress.corpora.registry import (
    DATA_VARIABLE,
    Corpus,
    CorpusLibrary,
    default_library,
    info,
    load,
    names,
)

__all__ = [
    "DATA_VARIABLE",
    "Corpus",
    "CorpusLibrary",
    "default_library",
    "info",
    "load",
    "names",
    "split_range",
]
