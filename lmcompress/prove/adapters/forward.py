"""Any PyTorch `forward(ids) -> logits`, with a window and a stride, as contests score it.

Long texts are read in windows that overlap, as Huang et al. (2024) do: all tokens of the first
window count, then the last `stride` of each. `score` takes a pass for each window; single steps
take one for each token, over the same context.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from lmcompress.prove.adapters.softmax import softmax

if TYPE_CHECKING:
    Forward = Callable[[torch.Tensor], torch.Tensor]

Rows = npt.NDArray[np.float64]


class ForwardPredictor(abc.ABC):
    """A predictor whose subclass loads the network; see examples/prove/forward.py."""

    symbols: int | Sequence[bytes] = 256
    window = 1024
    """Tokens that a pass reads at most."""
    stride = 512
    """Tokens of a later window that count; the others are context."""
    first: int | None = None
    """The token that opens each text; without one, all first symbols are equally likely."""

    @abc.abstractmethod
    def load(self) -> Forward:
        """Returns what takes token ids (1, T) and gives logits (1, T, V) of the next ones."""

    def reset(self) -> None:
        """Begins a text; loads the network the first time."""
        if not hasattr(self, "forward"):
            self.forward = self.load()
        self.ids = [] if self.first is None else [self.first]

    def push(self, symbol: int) -> None:
        """Takes a token."""
        self.ids.append(symbol)

    def probabilities(self) -> Rows:
        """Returns the row of the next token, from one pass over its context."""
        if not self.ids:
            return self._uniform()
        context = _context_of(len(self.ids) - 1, self.window, self.stride)
        return softmax(self._logits(self.ids[context:])[-1])

    def score(self, symbols: Sequence[int]) -> Iterator[Rows]:
        """Yields the row before each token, from one pass for each window."""
        if self.first is None:
            yield self._uniform()
        ids = [*([] if self.first is None else [self.first]), *symbols[:-1]]
        start = 0
        while start < len(ids):
            stop = min(len(ids), start + (self.stride if start else self.window))
            context = _context_of(start, self.window, self.stride)
            yield from softmax(self._logits(ids[context:stop])[start - context :])
            start = stop

    def _logits(self, ids: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            return self.forward(torch.tensor([ids]))[0]

    def _uniform(self) -> Rows:
        size = self.symbols if isinstance(self.symbols, int) else len(self.symbols)
        return np.full(size, 1 / size)


def _context_of(place: int, window: int, stride: int) -> int:
    """Returns where the window begins in which the token after this place counts."""
    return 0 if place < window else (place - window) // stride * stride + stride
