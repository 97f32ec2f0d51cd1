"""What a predictor is: the smallest class from which a file can be made and decoded again.

    class Predictor:
        symbols = 256                              # or a list: the bytes of each token

        def reset(self): ...                       # begin a text
        def probabilities(self): ...               # an array of floats, one for each symbol
        def push(self, symbol): ...                # the symbol that came

It needs to import nothing of lmcompress. docs/prove.md explains it with examples. A compressor with
a coder of its own is a class Codec instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Row = npt.NDArray[np.floating[Any]]
"""The probabilities of all symbols, (vocab_size,): NumPy or a tensor of torch, summing to 1."""


class Predictor(Protocol):
    """Says how likely each symbol comes next, given those that were pushed."""

    symbols: int | Sequence[bytes]
    """256 for bytes, or the bytes of each token; a token may have none."""

    def reset(self) -> None:
        """Begins a text. Called once, before anything else."""

    def probabilities(self) -> Row:
        """Returns floats >= 0 that sum to 1, one for each symbol, given what was pushed."""

    def push(self, symbol: int) -> None:
        """Takes the symbol that came."""


@runtime_checkable
class Tokenizes(Protocol):
    """A predictor that divides the text itself; without it, bytes are the symbols."""

    def tokenize(self, raw: bytes) -> Iterable[int]:
        """Returns symbols whose bytes, joined, are the text; any such division is right."""


@runtime_checkable
class Scores(Protocol):
    """A predictor that also has the fast form in which its figure was first computed."""

    def score(self, symbols: Sequence[int]) -> Iterable[Row]:
        """Returns the row before each symbol, (n, vocab_size): a claim, which is checked."""


@runtime_checkable
class Codec(Protocol):
    """A whole compressor, proven by the file that it writes itself."""

    def compress(self, raw: bytes) -> bytes:
        """Returns the file."""

    def decompress(self, compressed: bytes) -> bytes:
        """Returns the text, from its file and those of the codec's files that compress opened."""
