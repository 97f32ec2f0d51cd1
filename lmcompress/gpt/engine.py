"""What the CPU engines share: calls of any length are cut into blocks."""

from __future__ import annotations

import abc

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.config import GPTConfig


class BlockEngine(abc.ABC):
    """Evaluates tokens in blocks of at most `max_steps` steps; subclasses evaluate a block."""

    def __init__(self, config: GPTConfig, lanes: int, max_steps: int) -> None:
        self.config, self.lanes, self.max_steps = config, lanes, max_steps
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
        self._evaluate(tokens, out, logits)
        return out

    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Returns exact logits (steps, lanes, vocab_size) after each of tokens (lanes, steps)."""
        out = self._new_output(tokens)
        self._evaluate(tokens, None, out)
        return out

    def read(self, tokens: npt.NDArray[np.int64]) -> None:
        """Reads tokens (lanes, steps) as context, without predicting."""
        self._evaluate(tokens, None, None)

    def _new_output(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return np.empty((tokens.shape[1], self.lanes, self.config.vocab_size), np.float32)

    def _evaluate(
        self,
        tokens: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32] | None,
        logits: npt.NDArray[np.float32] | None,
    ) -> None:
        for start in range(0, tokens.shape[1], self.max_steps):
            part = slice(start, start + self.max_steps)
            wanted = (None if array is None else array[part] for array in (out, logits))
            self._evaluate_block(tokens[:, part], *wanted)
            self.position += tokens[:, part].shape[1]

    @abc.abstractmethod
    def _evaluate_block(
        self,
        tokens: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32] | None,
        logits: npt.NDArray[np.float32] | None,
    ) -> None:
        """Reads tokens (lanes, steps); fills the given outputs, (steps, lanes, V)."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the threads."""
