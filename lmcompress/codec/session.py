"""A model ready to code segments: the one place that opens predictors and closes them again.

Device, threads, context policy and prompt are fixed once, lanes and block size for each segment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lmcompress.codec.config import CodecConfig
from lmcompress.codec.lanes import (
    LaneLayout,
    auto_lanes,
    auto_token_lanes,
    block_steps,
    token_block_steps,
)
from lmcompress.codec.predictor import ContextPolicy, Predictor, new_predictor
from lmcompress.codec.prompt import Prompt, PromptKey, PromptState, prompt_lanes
from lmcompress.errors import MissingDependencyError
from lmcompress.format.frame import Method
from lmcompress.jit.compiler import sources_digest
from lmcompress.models.store import NO_MODEL, Model, load_model
from lmcompress.system.array_cache import ArrayCache
from lmcompress.system.cpus import usable_cpus
from lmcompress.system.floating_point import default_floating_point
from lmcompress.system.forks import settle_after_fork
from lmcompress.system.gpu import has_gpu
from lmcompress.tokenizer.bpe import tokenizer_of
from lmcompress.tokenizer.spelling import longest_symbols

_WORTH_KEEPING = 1.0
"""Seconds that reading a prompt must take for what it taught to be kept on disk: 100 MB and more
take a few tenths of a second to read."""
_PROMPT_LOCK = threading.Lock()
"""Segments that are coded at once share one reading of the prompt."""
MIN_GPU_BYTES = 1 << 20
"""Segments for which `auto` takes a GPU: a guess, not measured on one. Its kernels are compiled
once and checked in every process."""
_OVERLAP_STEPS = 64
"""Steps of a decoder's engine where it must read an overlap or the end of a prompt in one pass."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """A predictor for one segment, which has read the prompt."""

    predictor: Predictor
    lanes: int
    block: int
    """Steps to ask the predictor for at once; changes speed only."""
    first_token: int
    """The token that every lane begins with."""
    prompt: PromptState | None = None


class Session:
    """A model, and how to run it.

    Raises:
      MissingDependencyError: If the device is not there.
      ValueError: If the device is unknown.
    """

    def __init__(
        self, model: Model, config: CodecConfig | None = None, policy: ContextPolicy | None = None
    ) -> None:
        """Uses the policy of new files if none is given."""
        settle_after_fork()
        self.config = config or CodecConfig()
        self.model = model
        self.policy = policy or ContextPolicy.of(model.weights)
        device = self.config.device
        self.device = "cpu" if device == "auto" else resolve_device(device)
        """Of segments of any size; `for_segment` may take a GPU for large ones."""
        self.threads = resolve_threads(self.config.threads)

    def on_threads(self, threads: int) -> Session:
        """Returns a session that runs the same model on so many threads."""
        return Session(self.model, dataclasses.replace(self.config, threads=threads), self.policy)

    def for_segment(self, raw_bytes: int) -> Session:
        """Returns the session for a segment of so many bytes.

        With device `auto`, large segments go to a GPU if there is one whose kernels run.
        """
        if self.config.device != "auto" or raw_bytes < MIN_GPU_BYTES:
            return self
        return self._on_gpu or self

    @functools.cached_property
    def without_gpt(self) -> Session:
        """The same without the GPT: the adaptive stage alone predicts, as with the model "none"."""
        return Session(load_model(NO_MODEL), dataclasses.replace(self.config, device="cpu"))

    @functools.cached_property
    def _on_gpu(self) -> Session | None:
        weights = self.model.weights
        if weights is None or not has_gpu():
            return None
        from lmcompress.gpt.cuda.select import gpu_model

        if gpu_model(weights, "cuda")[0] is None:
            return None
        return Session(self.model, dataclasses.replace(self.config, device="cuda"), self.policy)

    def lanes_for(self, num_symbols: int) -> int:
        """Returns the number of lanes for a segment of so many bytes, or of tokens."""
        if self.config.lanes != "auto":
            return min(self.config.lanes, num_symbols)
        if self.model.weights is None:  # lanes share the passes of a model: there are none
            return 1
        return (auto_token_lanes if self.model.tokens else auto_lanes)(num_symbols, self.device)

    @property
    def methods(self) -> list[Method]:
        """The methods that an encoder tries; raises ValueError if nothing would predict."""
        direct = [Method.CODED] if self.model.weights is not None else []
        methods = direct + ([Method.MIXED] if self.config.adaptive else [])
        if not methods:
            raise ValueError(f"model {NO_MODEL} without the adaptive stage: nothing would predict")
        return methods

    def symbols_of(self, raw: bytes) -> npt.NDArray[np.int32]:
        """Returns the bytes, or tokens, that the model steps through: (n,).

        Raises:
          MissingDependencyError: If that takes a package that is not installed.
        """
        table = self.model.tokens
        if table is None:
            return np.frombuffer(raw, np.uint8).astype(np.int32)
        return tokenizer_of(self.model.folder, table).encode(raw)

    def lane_bytes(self, symbols: npt.NDArray[np.int32], lanes: int) -> list[int]:
        """Returns how many bytes each lane has."""
        layout, table = LaneLayout(len(symbols), lanes), self.model.tokens
        return layout.lengths if table is None else layout.sums(table.lengths(symbols))

    @contextlib.contextmanager
    def open_encoder(self, lanes: int) -> Iterator[Opened]:
        """Yields a predictor that evaluates many steps in one pass."""
        with self._open(lanes, self.encoder_steps(lanes)) as opened:
            yield opened

    @contextlib.contextmanager
    def open_decoder(self, lanes: int) -> Iterator[Opened]:
        """Yields a predictor that takes one step at a time."""
        with self._open(lanes, self.decoder_steps(lanes)) as opened:
            yield opened

    def encoder_steps(self, lanes: int) -> int:
        """Returns how many steps an encoder evaluates in one pass."""
        if self.model.tokens:
            return token_block_steps(lanes, self.threads, self.device)
        return block_steps(lanes, self.threads, self.device)

    def decoder_steps(self, lanes: int) -> int:
        """Returns how many steps a decoder evaluates in one pass: for an overlap or a prompt."""
        most = self.encoder_steps(lanes) if self.model.tokens else _OVERLAP_STEPS
        steps = _OVERLAP_STEPS if self.config.prompt else self.policy.overlap
        return max(1, min(most, steps))

    @contextlib.contextmanager
    def _open(self, lanes: int, block: int) -> Iterator[Opened]:
        with default_floating_point():
            prompt = self._read_prompt()
            with self._predictor(lanes, block) as predictor:
                first = prompt.read_into(predictor, lanes) if prompt else predictor.bos_id
                yield Opened(predictor, lanes, block, first, prompt)

    def _predictor(self, lanes: int, block: int) -> contextlib.closing[Predictor]:
        args = self.model.weights, lanes, block, self.policy, self.device, self.threads
        return contextlib.closing(new_predictor(*args))

    def _read_prompt(self) -> PromptState | None:
        prompt = self.config.prompt
        if prompt is None:
            return None
        key = self.model.fingerprint, prompt.sha256, self.policy
        with _PROMPT_LOCK:
            return PromptState.last(key) or self._make_or_load(key, prompt)

    def _make_or_load(self, key: PromptKey, prompt: Prompt) -> PromptState:
        cache = ArrayCache("prompts", self.config.prompt_cache)
        name = (*key, self.device, sources_digest("codec"))  # all that makes a state
        if (arrays := cache.load(name)) is not None:
            return PromptState.restored(arrays).keep(key)
        started = time.perf_counter()
        state = self._make_prompt_state(prompt)
        if time.perf_counter() - started > _WORTH_KEEPING:
            cache.save(name, state.arrays())
        return state.keep(key)

    def _make_prompt_state(self, prompt: Prompt) -> PromptState:
        symbols = self._prompt_symbols(prompt.raw)
        lanes = min(len(symbols), prompt_lanes(len(prompt.raw)))
        lengths, block = self.lane_bytes(symbols, lanes), self.encoder_steps(lanes)
        with self._predictor(lanes, block) as predictor:
            args = symbols, lengths, predictor, block, self._context_length
            return PromptState.read(*args)

    def _prompt_symbols(self, raw: bytes) -> npt.NDArray[np.int32]:
        """Returns a prompt's symbols; a decoder must find them too, and has no tokenizer."""
        table = self.model.tokens
        return longest_symbols(table.trie, raw) if table else self.symbols_of(raw)

    @property
    def _context_length(self) -> int:
        """How many of a prompt's last symbols each lane begins with."""
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
