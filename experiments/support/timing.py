"""Timings: of a call in CPU time, and of a text through a model and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

import lmcompress
from lmcompress import CodecConfig
from lmcompress.errors import LmcompressError
from lmcompress.models.store import Model

Params = ParamSpec("Params")
Result = TypeVar("Result")


def cpu_timed(
    call: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
) -> tuple[float, Result]:
    """Returns the CPU seconds of this process in a call, and what the call returns.

    They depend less on other work than the time that passes, but beside other work they
    were up to 2.2 times as long (levels).
    """
    start = time.process_time()
    result = call(*args, **kwargs)
    return time.process_time() - start, result


class RoundTrip(NamedTuple):
    """A text that was compressed and came back."""

    compressed: bytes
    compress_seconds: float
    decompress_seconds: float

    @property
    def num_bytes(self) -> int:
        """The size of the file."""
        return len(self.compressed)


def round_trip(
    raw: bytes,
    model: Model,
    config: CodecConfig | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> RoundTrip:
    """Compresses a text, decompresses the file and compares, each once.

    Args:
      raw: The text.
      model: The model, loaded.
      config: For both ways.
      clock: Returns seconds: `time.process_time` for those of the CPU.

    Raises:
      LmcompressError: If something else comes back.
    """
    started = clock()
    compressed = lmcompress.compress(raw, model, config)
    between = clock()
    restored = lmcompress.decompress(compressed, model, config)
    ended = clock()
    if restored != raw:
        raise LmcompressError(f"{model.name} did not give the text back: report a bug")
    return RoundTrip(compressed, between - started, ended - between)
