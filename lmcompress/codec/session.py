"""A model ready to code segments: the one place that opens predictors and closes them again.

Device, threads, context policy and prompt are fixed once, lanes and block size for each segment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Generic, TypeVar

from lmcompress.codec.config import CodecConfig
from lmcompress.codec.lanes import (
    auto_lanes,
    auto_token_lanes,
    block_steps,
    token_block_steps,
)
from lmcompress.codec.predictor import (
    ContextPolicy,
    Predictor,
    TokenPredictor,
    new_predictor,
    new_token_predictor,
)
from lmcompress.codec.prompt import PromptState, check_prompt, prompt_lanes
from lmcompress.errors import MissingDependencyError
from lmcompress.models.store import Model
from lmcompress.system.cpus import usable_cpus
from lmcompress.system.floating_point import default_floating_point
from lmcompress.system.forks import settle_after_fork
from lmcompress.system.gpu import has_gpu

AnyPredictor = TypeVar("AnyPredictor", bound=Predictor)

_OVERLAP_STEPS = 64
"""Steps of a decoder's engine where it must read an overlap or the end of a prompt in one pass."""


@dataclasses.dataclass(frozen=True)
class Opened(Generic[AnyPredictor]):
    """A predictor for one segment, which has read the prompt."""

    predictor: AnyPredictor
    lanes: int
    block: int
    """Steps to ask the predictor for at once; changes speed only."""
    first_token: int
    """The token that every lane begins with."""
    prompt: PromptState | None = None


class Session:
    """A model, and how to run it.

    Raises:
      LmcompressError: If the model cannot read the prompt.
      MissingDependencyError: If the device is not there.
      ValueError: If the device is unknown.
    """

    def __init__(
        self, model: Model, config: CodecConfig | None = None, policy: ContextPolicy | None = None
    ) -> None:
        """Uses the policy of new files if none is given."""
        settle_after_fork()
        self.config = config or CodecConfig()
        check_prompt(self.config.prompt, model)
        self.model = model
        self.policy = policy or ContextPolicy.of(model.weights)
        self.device = resolve_device(self.config.device)
        self.threads = resolve_threads(self.config.threads)

    def lanes_for(self, num_symbols: int) -> int:
        """Returns the number of lanes for a segment of so many bytes, or of tokens."""
        if self.config.lanes != "auto":
            return min(self.config.lanes, num_symbols)
        return (auto_token_lanes if self.model.tokens else auto_lanes)(num_symbols, self.device)

    @contextlib.contextmanager
    def open_encoder(self, lanes: int) -> Iterator[Opened[Predictor]]:
        """Yields a predictor of bytes that evaluates many steps in one pass."""
        with self._open(lanes, block_steps(lanes, self.threads, self.device)) as opened:
            yield opened

    @contextlib.contextmanager
    def open_decoder(self, lanes: int) -> Iterator[Opened[Predictor]]:
        """Yields a predictor of bytes that takes one step at a time."""
        steps = _OVERLAP_STEPS if self.config.prompt else min(self.policy.overlap, _OVERLAP_STEPS)
        with self._open(lanes, max(1, steps)) as opened:
            yield opened

    @contextlib.contextmanager
    def open_token_encoder(self, lanes: int) -> Iterator[Opened[TokenPredictor]]:
        """Yields a predictor of tokens that evaluates many steps in one pass."""
        with self._open_tokens(lanes, token_block_steps(lanes, self.threads)) as opened:
            yield opened

    @contextlib.contextmanager
    def open_token_decoder(self, lanes: int) -> Iterator[Opened[TokenPredictor]]:
        """Yields a predictor of tokens that takes one step at a time."""
        steps = min(self.policy.overlap, token_block_steps(lanes, self.threads))
        with self._open_tokens(lanes, max(1, steps)) as opened:
            yield opened

    @contextlib.contextmanager
    def _open(self, lanes: int, block: int) -> Iterator[Opened[Predictor]]:
        with default_floating_point():
            prompt = self._read_prompt()
            with self._predictor(lanes, block) as predictor:
                first = prompt.read_into(predictor, lanes) if prompt else predictor.bos_id
                yield Opened(predictor, lanes, block, first, prompt)

    @contextlib.contextmanager
    def _open_tokens(self, lanes: int, block: int) -> Iterator[Opened[TokenPredictor]]:
        weights = self.model.weights
        assert weights is not None
        args = weights, lanes, block, self.policy, self.device, self.threads
        with (
            default_floating_point(),
            contextlib.closing(new_token_predictor(*args)) as predictor,
        ):
            yield Opened(predictor, lanes, block, predictor.bos_id)

    def _predictor(self, lanes: int, block: int) -> contextlib.closing[Predictor]:
        args = self.model.weights, lanes, block, self.policy, self.device, self.threads
        return contextlib.closing(new_predictor(*args))

    def _read_prompt(self) -> PromptState | None:
        prompt = self.config.prompt
        if prompt is None:
            return None
        key = self.model.fingerprint, prompt.sha256, self.policy
        if (state := PromptState.last(key)) is not None:
            return state
        lanes = prompt_lanes(len(prompt.raw))
        block = block_steps(lanes, self.threads, self.device)
        with self._predictor(lanes, block) as predictor:
            state = PromptState.read(prompt.raw, predictor, lanes, block, self._context_length)
        return state.keep(key)

    @property
    def _context_length(self) -> int:
        """How many of a prompt's last bytes each lane begins with."""
        weights = self.model.weights
        return 1 if weights is None else self.policy.overlap or weights.config.context_length


def resolve_device(device: str) -> str:
    """Returns cpu, cuda or reference for auto, cpu, cuda, reference.

    Raises:
      MissingDependencyError: If cuda is asked for and there is none.
      ValueError: If the name is unknown.
    """
    if device not in ("auto", "cpu", "cuda", "reference"):
        raise ValueError(f"device is {device!r}, expected auto, cpu or cuda")
    if device in ("cpu", "reference"):
        return device
    if has_gpu():
        return "cuda"
    if device == "cuda":
        raise MissingDependencyError(
            "found no CUDA device: use device cpu (same bits for the same lanes, slower)"
        )
    return "cpu"


def resolve_threads(threads: int | None) -> int:
    """Returns the number of threads: as given, else one for each core this process may use."""
    if threads is not None:
        return threads
    if "OMP_NUM_THREADS" in os.environ and os.environ["OMP_NUM_THREADS"].isdigit():
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    return usable_cpus()
