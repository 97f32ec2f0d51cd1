"""Predictors: symbols in, frequencies of the next bytes out.

The encoder hands a predictor many steps at once, the decoder one; both get the same frequencies.
Models of tokens predict bytes too, one after the other (`tokenizer/spelling.py`).
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.state import MOST_PARAMETERS
from lmcompress.range_coder import PRECISION_BITS, Freqs
from lmcompress.tokenizer.rounds import Rounds
from lmcompress.tokenizer.spelling import HostSums, Sums, TokenWalk, spell

if TYPE_CHECKING:
    from lmcompress.gpt.quantization import ExactWeights

ROWS_PER_THREAD = 512
"""Rows (lanes x steps) of one pass of a thread: enough to make products efficient, few enough for
intermediate results to stay in the cache."""
GPU_ROWS = 1 << 15
"""Rows of an encoder's block on a GPU: several passes, so that copies and passes overlap."""


Logits = npt.NDArray[np.float32]
"""Exact logits, one row for each symbol to come: (n, vocab_size)."""

_Found = TypeVar("_Found")


OnLogits = Callable[[Logits, npt.NDArray[np.int32]], None]
"""Takes exact logits (n, vocab_size) and the symbols (n,) that came."""


class Walk(Protocol):
    """A token in each lane, spelled while it is decoded."""

    def freqs(self, lanes: npt.NDArray[np.int32]) -> Freqs:
        """Returns the model's frequencies of the next byte of some lanes (k,): (k, 256)."""

    def enter(
        self, lanes: npt.NDArray[np.int32], letters: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.int32] | None:
        """Takes a byte of each of some lanes (k,); returns how likely a token ends there, (k,).

        None if every byte is a token: a step of a model of bytes then needs no call for ends.
        """

    def symbols(self, lanes: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Returns the symbols that some lanes have spelled, (k,)."""


class Predictor(Protocol):
    """What the codec asks of a model: deterministic, however the steps are split into calls."""

    vocab_size: int
    bos_id: int
    of_tokens: bool
    """Whether symbols may have several bytes."""
    is_large: bool
    """Whether it has more than `MOST_PARAMETERS` parameters."""
    same_for_all: Freqs | None
    """What it says of every byte (256,), if it always says the same."""

    def read_as(self, symbols: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Returns the tokens that the model reads for symbols of any shape."""

    def spell(
        self,
        tokens: npt.NDArray[np.int64],
        symbols: npt.NDArray[np.int32],
        on_logits: OnLogits | None = None,
    ) -> Iterator[Rounds]:
        """Reads tokens (lanes, steps); yields what it says of the symbols after each.

        Args:
          tokens: What the model reads.
          symbols: What is to be coded, (n,), step-major; the last step may be short of some lanes.
          on_logits: Called for all symbols, in their order.
        """

    def walk(self, tokens: npt.NDArray[np.int64]) -> Walk:
        """Reads tokens (lanes, 1); returns what it says of the next one of each lane."""

    def read(self, tokens: npt.NDArray[np.int64]) -> None:
        """Reads tokens (lanes, steps), without predicting."""

    def close(self) -> None:
        """Frees threads and memory."""


class _ByteWalk:
    """A byte of each of the first lanes."""

    def __init__(self, freqs: Freqs) -> None:
        self._freqs = freqs

    def freqs(self, lanes: npt.NDArray[np.int32]) -> Freqs:
        """Returns the frequencies of the first lanes."""
        return self._freqs[: len(lanes)]

    def enter(self, lanes: npt.NDArray[np.int32], letters: npt.NDArray[np.uint8]) -> None:
        """Takes the bytes, all of which are tokens."""
        self._letters = letters

    def symbols(self, lanes: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Returns the bytes."""
        return self._letters.astype(np.int32)


class BytePredictor(abc.ABC):
    """A model of bytes: subclasses turn bytes into frequencies of the next ones."""

    vocab_size: int
    bos_id: int
    of_tokens = False
    is_large = False
    same_for_all: Freqs | None = None

    def read_as(self, symbols: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Returns bytes as they are."""
        return symbols.astype(np.int64)

    @abc.abstractmethod
    def predict(self, tokens: npt.NDArray[np.int64], logits: Logits | None = None) -> Freqs:
        """Reads tokens (lanes, steps); returns freqs (steps, lanes, vocab_size) after each.

        They are as `range_coder` takes them: each row sums to 2**PRECISION_BITS - vocab_size.
        `logits`, if given, is filled with the exact logits, of the same shape.
        """

    def spell(
        self,
        tokens: npt.NDArray[np.int64],
        symbols: npt.NDArray[np.int32],
        on_logits: OnLogits | None = None,
    ) -> Iterator[Rounds]:
        """See `Predictor`."""
        lanes, steps = tokens.shape
        shape = steps, lanes, self.vocab_size
        logits = np.empty(shape, np.float32) if on_logits else None
        freqs = self.predict(tokens, logits)
        if on_logits and logits is not None:
            on_logits(logits.reshape(-1, self.vocab_size)[: len(symbols)], symbols)
        yield Rounds.of_bytes(symbols, freqs)

    def walk(self, tokens: npt.NDArray[np.int64]) -> Walk:
        """See `Predictor`."""
        return _ByteWalk(self.predict(tokens)[0])


class UniformPredictor(BytePredictor):
    """Every symbol equally likely: 8 bits a byte."""

    bos_id = 0

    def __init__(self) -> None:
        self.vocab_size = 256
        budget = (1 << PRECISION_BITS) - self.vocab_size
        self._row = np.full(self.vocab_size, budget // self.vocab_size, np.float32)
        self._row[: budget % self.vocab_size] += 1
        self._rows = self._row[None, None]
        self.same_for_all = self._row

    def predict(self, tokens: npt.NDArray[np.int64], logits: Logits | None = None) -> Freqs:
        """Returns the same row for each symbol to come; the same array, if as many are to come."""
        lanes, steps = tokens.shape
        if logits is not None:
            logits[:] = 0
        if self._rows.shape[:2] != (steps, lanes):
            self._rows = np.tile(self._row, (steps, lanes, 1))
        return self._rows

    def read(self, tokens: npt.NDArray[np.int64]) -> None:
        """Does nothing."""

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


class GPTPredictor(BytePredictor):
    """An exact GPT over `lanes` streams, under a context policy."""

    def __init__(self, weights: ExactWeights, engine: _Engine, policy: ContextPolicy) -> None:
        self.vocab_size, self.bos_id = weights.config.vocab_size, weights.config.bos_id
        self.is_large = weights.config.num_parameters > MOST_PARAMETERS
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

    def read(self, tokens: npt.NDArray[np.int64]) -> None:
        """Reads tokens (lanes, steps), without predicting."""
        self._evaluate(tokens, lambda part: self._engine.read(tokens[:, part]))

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
    """An exact GPT over `lanes` streams of tokens, which it spells byte by byte."""

    of_tokens = True

    def __init__(self, weights: ExactWeights, engine: _Engine, policy: ContextPolicy) -> None:
        super().__init__(weights, engine, policy)
        assert weights.tokens is not None
        self.table = weights.tokens

    def read_as(self, symbols: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Returns the tokens that the model reads for symbols of any shape."""
        return self.table.read_as(symbols, self.bos_id)

    def spell(
        self,
        tokens: npt.NDArray[np.int64],
        symbols: npt.NDArray[np.int32],
        on_logits: OnLogits | None = None,
    ) -> Iterator[Rounds]:
        """See `Predictor`."""
        lanes, steps = tokens.shape
        shape = steps * lanes, self.vocab_size
        logits = np.empty(shape, np.float32) if on_logits else None
        sums = self._sums(tokens, logits)
        if on_logits and logits is not None:
            on_logits(logits[: len(symbols)], symbols)
        yield spell(self.table.trie, sums, symbols, lanes)

    def walk(self, tokens: npt.NDArray[np.int64]) -> Walk:
        """See `Predictor`."""
        return TokenWalk(self.table.trie, self._sums(tokens), len(tokens))

    def _sums(self, tokens: npt.NDArray[np.int64], logits: Logits | None = None) -> Sums:
        """Returns what is said after each of tokens (lanes, steps), step-major: of all n.

        `logits`, if given, is filled with the exact logits (n, vocab_size).
        """
        engine: Any = self._engine  # one of those that give sums
        lanes, steps = tokens.shape
        by_step = None if logits is None else logits.reshape(steps, lanes, -1)

        parts: list[npt.NDArray[np.int64]] = self._evaluate(
            tokens,
            lambda part: engine.sums(tokens[:, part], None if by_step is None else by_step[part]),
        )
        sums = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return HostSums(self.table.trie, sums.reshape(steps * lanes, -1))


class DeviceTokenPredictor(TokenPredictor):
    """A `TokenPredictor` whose logits and sums stay on a GPU."""

    def __init__(
        self, weights: ExactWeights, engine: _Engine, policy: ContextPolicy, device: str
    ) -> None:
        from lmcompress.gpt.cuda.spelling import DeviceSpelling

        super().__init__(weights, engine, policy)
        self._spelling = DeviceSpelling(self.table.trie, self.vocab_size, device)

    def _sums(self, tokens: npt.NDArray[np.int64], logits: Logits | None = None) -> Sums:
        import torch

        engine: Any = self._engine
        parts = self._evaluate(tokens, lambda part: engine.device_logits(tokens[:, part]))
        rows = (torch.cat(parts) if len(parts) > 1 else parts[0]).reshape(-1, self.vocab_size)
        if logits is not None:
            logits[:] = rows.cpu().numpy()
        return self._spelling(rows)


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
      ValueError: If the model's symbols are neither bytes nor tokens whose bytes are known.
    """
    if weights is None:
        return UniformPredictor()
    if weights.tokens is None and weights.config.vocab_size != 256:
        raise ValueError(f"the model's vocab_size is {weights.config.vocab_size}, expected 256")
    engine = _engine(weights, lanes, max_steps, device, threads)
    if weights.tokens is None:
        return GPTPredictor(weights, engine, policy)
    if device == "cuda":
        return DeviceTokenPredictor(weights, engine, policy, device)
    return TokenPredictor(weights, engine, policy)


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
