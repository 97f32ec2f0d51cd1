"""Predictors: symbols in, frequencies of the next symbols out.

The encoder hands a predictor many steps at once, the decoder one; both get the same frequencies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lmcompress.range_coder import PRECISION_BITS, Freqs

if TYPE_CHECKING:
    from lmcompress.gpt.quantization import ExactWeights
    from lmcompress.tokenizer.groups import GroupSums
    from lmcompress.tokenizer.vocabulary import TokenTable

ROWS_PER_THREAD = 512
"""Rows (lanes x steps) of one pass of a thread: enough to make products efficient, few enough for
intermediate results to stay in the cache."""
GPU_ROWS = 1 << 15
"""Rows of an encoder's block on a GPU: several passes, so that copies and passes overlap."""


Logits = npt.NDArray[np.float32]
"""Exact logits, one row for each symbol to come: (n, vocab_size)."""

_Found = TypeVar("_Found")


class Predictor(Protocol):
    """What the codec asks of a model: deterministic, however the steps are split into calls."""

    vocab_size: int
    bos_id: int

    def predict(self, tokens: npt.NDArray[np.int64], logits: Logits | None = None) -> Freqs:
        """Reads tokens (lanes, steps); returns freqs (steps, lanes, vocab_size) after each.

        They are as `range_coder` takes them: each row sums to 2**PRECISION_BITS - vocab_size.
        `logits`, if given, is filled with the exact logits, of the same shape.
        """

    def close(self) -> None:
        """Frees threads and memory."""


class UniformPredictor:
    """Every symbol equally likely: 8 bits a byte."""

    bos_id = 0

    def __init__(self, vocab_size: int = 256) -> None:
        self.vocab_size = vocab_size
        budget = (1 << PRECISION_BITS) - vocab_size
        self._row = np.full(vocab_size, budget // vocab_size, np.float32)
        self._row[: budget % vocab_size] += 1
        self._rows = self._row[None, None]

    def predict(self, tokens: npt.NDArray[np.int64], logits: Logits | None = None) -> Freqs:
        """Returns the same row for each symbol to come; the same array, if as many are to come."""
        lanes, steps = tokens.shape
        if logits is not None:
            logits[:] = 0
        if self._rows.shape[:2] != (steps, lanes):
            self._rows = np.tile(self._row, (steps, lanes, 1))
        return self._rows

    def close(self) -> None:
        """Does nothing."""


@dataclasses.dataclass(frozen=True)
class ContextPolicy:
    """How a stream runs past the model's context.

    window 0: it never restarts (banded layers with ring buffers). Otherwise the model restarts
    after `window` tokens, and reads the last `overlap` of them again.
    """

    window: int = 0
    overlap: int = 0

    @classmethod
    def of(cls, weights: ExactWeights | None) -> ContextPolicy:
        """Returns the policy that new files of a model use; compact frames do not write it down."""
        if weights is None:
            return cls()
        config = weights.config
        if config.streams:
            return cls()
        return cls(config.context_length, config.context_length // 4)


class _Engine(Protocol):
    @property
    def position(self) -> int: ...

    def reset(self) -> None: ...

    def predict(self, tokens: npt.NDArray[np.int64], logits: Logits | None = None) -> Freqs: ...

    def logits(self, tokens: npt.NDArray[np.int64]) -> Logits: ...

    def read(self, tokens: npt.NDArray[np.int64]) -> None: ...

    def close(self) -> None: ...


class GPTPredictor:
    """An exact GPT over `lanes` streams, under a context policy."""

    def __init__(self, weights: ExactWeights, engine: _Engine, policy: ContextPolicy) -> None:
        self.vocab_size, self.bos_id = weights.config.vocab_size, weights.config.bos_id
        self._engine, self._policy = engine, policy
        self._recent: npt.NDArray[np.int64] | None = None

    def predict(self, tokens: npt.NDArray[np.int64], logits: Logits | None = None) -> Freqs:
        """Returns freqs after each token; restarts the context where the policy says so.

        `logits`, if given, is filled with the exact logits (steps, lanes, vocab_size).
        """

        def evaluate(part: slice) -> Freqs:
            where = None if logits is None else logits[part]
            return self._engine.predict(tokens[:, part], where)

        parts = self._evaluate(tokens, evaluate)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def logits(self, tokens: npt.NDArray[np.int64]) -> Logits:
        """Returns exact logits (steps, lanes, vocab_size); restarts as `predict` does."""
        parts = self._evaluate(tokens, lambda part: self._engine.logits(tokens[:, part]))
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _evaluate(
        self, tokens: npt.NDArray[np.int64], evaluate: Callable[[slice], _Found]
    ) -> list[_Found]:
        """Evaluates the steps part by part, as the context has room; returns the results."""
        parts = []
        for part in self._parts(tokens.shape[1]):
            parts.append(evaluate(part))
            self._remember(tokens[:, part])
        return parts

    def _parts(self, steps: int) -> Iterator[slice]:
        """Yields the parts that fit into the context; the caller evaluates each before the next."""
        if not self._policy.window:
            yield slice(0, steps)
            return
        done = 0
        while done < steps:
            if self._engine.position >= self._policy.window:
                self._restart()
            end = min(steps, done + self._policy.window - self._engine.position)
            yield slice(done, end)
            done = end

    def _remember(self, part: npt.NDArray[np.int64]) -> None:
        if not self._policy.overlap:
            return
        kept = part if self._recent is None else np.concatenate((self._recent, part), axis=1)
        self._recent = kept[:, max(0, kept.shape[1] - self._policy.overlap) :]

    def _restart(self) -> None:
        self._engine.reset()
        if self._recent is not None:
            self._engine.read(self._recent)

    def close(self) -> None:
        """Ends the engine's threads."""
        self._engine.close()


class TokenPredictor(GPTPredictor):
    """An exact GPT over `lanes` streams of tokens, which are coded in two levels."""

    def __init__(
        self,
        weights: ExactWeights,
        engine: _Engine,
        policy: ContextPolicy,
        new_groups: Callable[[Any, npt.NDArray[np.bool_]], GroupSums],
    ) -> None:
        super().__init__(weights, engine, policy)
        assert weights.tokens is not None
        self.table: TokenTable = weights.tokens
        self._new_groups = new_groups

    def groups(self, logits: Any) -> GroupSums:
        """Returns group sums, and members, from rows of logits (n, vocab_size)."""
        return self._new_groups(logits, self.table.is_spelled)

    def rows(self, tokens: npt.NDArray[np.int64]) -> Any:
        """Returns logits where `groups` works on them: on a GPU they stay there."""
        return self.logits(tokens)

    def on_host(self, rows: Any) -> Logits:
        """Returns rows of `rows` as an array on the host."""
        return np.asarray(rows)


class DeviceTokenPredictor(TokenPredictor):
    """A `TokenPredictor` whose logits and group sums stay on a GPU."""

    def rows(self, tokens: npt.NDArray[np.int64]) -> Any:
        """Returns logits as a tensor on the device."""
        import torch

        engine: Any = self._engine
        parts = self._evaluate(tokens, lambda part: engine.device_logits(tokens[:, part]))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def on_host(self, rows: Any) -> Logits:
        """Returns rows of `rows` as an array on the host."""
        return np.asarray(rows.cpu())


def new_predictor(
    weights: ExactWeights | None,
    lanes: int,
    max_steps: int,
    policy: ContextPolicy,
    device: str = "cpu",
    threads: int = 1,
) -> Predictor:
    """Returns a predictor on the fastest engine of the device; the bits do not depend on it.

    Without weights, every byte is equally likely.

    Raises:
      ValueError: If the model's symbols are not the bytes.
    """
    if weights is None:
        return UniformPredictor()
    if weights.config.vocab_size != 256:
        hint = "" if weights.tokens is None else ": it predicts tokens"
        raise ValueError(
            f"the model's vocab_size is {weights.config.vocab_size}, expected 256{hint}"
        )
    return GPTPredictor(weights, _engine(weights, lanes, max_steps, device, threads), policy)


def new_token_predictor(
    weights: ExactWeights,
    lanes: int,
    max_steps: int,
    policy: ContextPolicy,
    device: str = "cpu",
    threads: int = 1,
) -> TokenPredictor:
    """Returns a predictor of tokens on the fastest engine of the device."""
    engine = _engine(weights, lanes, max_steps, device, threads)
    if device == "reference":
        from lmcompress.gpt.group_softmax import ReferenceGroups

        return TokenPredictor(weights, engine, policy, ReferenceGroups)
    if device == "cpu":
        from lmcompress.gpt.cpu.group_softmax import FastGroups

        return TokenPredictor(weights, engine, policy, FastGroups)
    from lmcompress.gpt.cuda.group_softmax import DeviceGroups

    assert weights.tokens is not None
    groups = DeviceGroups(weights.tokens.is_spelled, device)
    return DeviceTokenPredictor(weights, engine, policy, groups)


def _engine(
    weights: ExactWeights, lanes: int, max_steps: int, device: str, threads: int
) -> _Engine:
    if device == "cpu":
        from lmcompress.gpt.cpu.select import cpu_engine

        return cpu_engine(weights, lanes, max_steps, threads)
    if device == "reference":
        from lmcompress.gpt.reference_engine import TorchEngine

        return TorchEngine(weights, "cpu")
    from lmcompress.gpt.cuda.select import gpu_engine

    return gpu_engine(weights, lanes, max_steps, device)
