"""Named corpora: bytes that everyone can check by size and SHA-256."""

from lmcompress.corpora.registry import (
    DATA_VARIABLE,
    Corpus,
    CorpusLibrary,
    info,
    load,
    names,
    split_range,
)

__all__ = [
    "DATA_VARIABLE",
    "Corpus",
    "CorpusLibrary",
    "info",
    "load",
    "names",
    "split_range",
]
