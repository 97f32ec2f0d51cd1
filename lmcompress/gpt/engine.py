"""What the CPU engines share: calls of any length are cut into blocks."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.quantization import ExactWeights


class Outputs(NamedTuple):
    """Where a pass puts what it is asked for, by step and lane; None for what it is not."""

    freqs: npt.NDArray[np.float32] | None = None
    """(steps, lanes, V)."""
    sums: npt.NDArray[np.int64] | None = None
    """Prefix sums of numerators in the order of the token trie, (steps, lanes, symbols + 1)."""
    logits: npt.NDArray[np.float32] | None = None
    """(steps, lanes, V)."""

    def part(self, where: Any) -> Outputs:
        """Returns the same part of each."""
        return Outputs(*(None if array is None else array[where] for array in self))

    @property
    def has_any(self) -> bool:
        """Whether anything is asked for."""
        return any(array is not None for array in self)


class BlockEngine(abc.ABC):
    """Evaluates tokens in blocks of at most `max_steps` steps; subclasses evaluate a block."""

    def __init__(self, weights: ExactWeights, lanes: int, max_steps: int) -> None:
        self.config, self.lanes, self.max_steps = weights.config, lanes, max_steps
        self._num_symbols = len(weights.tokens.trie.order) if weights.tokens else 0
        self.position = 0

    def reset(self) -> None:
        """Forgets all tokens."""
        self.position = 0

    def predict(
        self, tokens: npt.NDArray[np.int64], logits: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Returns freqs (steps, lanes, vocab_size) after each of tokens (lanes, steps).

        `logits`, if given, is filled with the exact logits, of the same shape.
        """
        out = self._new_output(tokens)
        self._evaluate(tokens, Outputs(freqs=out, logits=logits))
        return out

    def sums(
        self, tokens: npt.NDArray[np.int64], logits: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.int64]:
        """Returns prefix sums of softmax numerators after each of tokens (lanes, steps).

        They are in the order of the model's token trie, (steps, lanes, symbols + 1). `logits`, if
        given, is filled with the exact logits.
        """
        out = np.empty((tokens.shape[1], self.lanes, self._num_symbols + 1), np.int64)
        self._evaluate(tokens, Outputs(sums=out, logits=logits))
        return out

    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Returns exact logits (steps, lanes, vocab_size) after each of tokens (lanes, steps)."""
        out = self._new_output(tokens)
        self._evaluate(tokens, Outputs(logits=out))
        return out

    def read(self, tokens: npt.NDArray[np.int64]) -> None:
        """Reads tokens (lanes, steps) as context, without predicting."""
        self._evaluate(tokens, Outputs())

    def _new_output(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return np.empty((tokens.shape[1], self.lanes, self.config.vocab_size), np.float32)

    def _evaluate(self, tokens: npt.NDArray[np.int64], outputs: Outputs) -> None:
        for start in range(0, tokens.shape[1], self.max_steps):
            part = slice(start, start + self.max_steps)
            self._evaluate_block(tokens[:, part], outputs.part(part))
            self.position += tokens[:, part].shape[1]

    @abc.abstractmethod
    def _evaluate_block(self, tokens: npt.NDArray[np.int64], outputs: Outputs) -> None:
        """Reads tokens (lanes, steps); fills the outputs."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the threads."""
