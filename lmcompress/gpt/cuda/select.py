"""Which engine a GPU gets: the kernels where they can run and are right, else the reference."""

from __future__ import annotations

import functools
import importlib.util
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from lmcompress.errors import LmcompressError
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.gpt.reference_engine import TorchEngine

if TYPE_CHECKING:
    from lmcompress.gpt.cuda.engine import CudaEngine
    from lmcompress.gpt.cuda.weights import CudaModel

_log = logging.getLogger(__name__)
MIN_CAPABILITY = (8, 0)
"""Oldest architecture that Triton supports: Ampere."""
REFERENCE_ROWS = 2048
"""Rows (lanes x steps) that the reference reads at once: its attention keeps 64-bit scores."""
REFERENCE_LOGITS = 1 << 24
"""Logits that it makes at once, of which it keeps some eight copies in 64 bits: 1 GB."""
_LONG_CHECK = 3, (200, 1, 200)
"""Lanes and steps that a model is checked with: several tiles and blocks of keys, until the rings
of short windows wrap."""
_DISTINCT_LANES = 5
"""Lanes of a check that the reference evaluates: the engine's repeat them. Odd, so that lanes which
are mixed up by a power of two differ."""
_LOCK = threading.Lock()
"""Segments that are coded at once check and compile one after the other."""


def gpu_engine(
    weights: ExactWeights, lanes: int, max_steps: int, device: str = "cuda"
) -> CudaEngine | TorchEngine:
    """Returns the fast engine if it gives the reference's bits here; says which one it took.

    Raises:
      LmcompressError: If an error has left the GPU unusable.
    """
    with _LOCK:
        model, reason = gpu_model(weights, device)
        if model is not None:
            reason = _fault_of(model, lanes, max_steps)
    if model is None or reason:
        _log.info("on %s: the plain reference, for %s", device, reason)
        _check_alive(device)
        return _reference(weights, device, lanes)
    from lmcompress.gpt.cuda.engine import CudaEngine

    _log.info("on %s: the fused kernels", device)
    return CudaEngine(model, lanes, max_steps)


def _reference(weights: ExactWeights, device: str, lanes: int) -> TorchEngine:
    rows = min(REFERENCE_ROWS, REFERENCE_LOGITS // weights.config.vocab_size)
    return TorchEngine(weights, device, max(1, rows // lanes))


def _check_alive(device: str) -> None:
    """Raises LmcompressError if a kernel's error has ended the process's use of the GPU."""
    try:
        torch.ones(1, device=device).item()
    except RuntimeError as exc:
        reason = str(exc).partition("\n")[0]
        raise LmcompressError(
            f"the GPU fails ({reason}): use --device cpu, which gives the same bits"
        ) from exc


@functools.lru_cache(maxsize=4)
def gpu_model(weights: ExactWeights, device: str) -> tuple[CudaModel | None, str]:
    """Returns the model laid out for the kernels, or None and why it must be the reference.

    Raises:
      torch.OutOfMemoryError: If it does not fit.
    """
    if reason := _missing(device):
        return None, reason
    try:
        from lmcompress.gpt.cuda.weights import CudaModel, not_covered

        if reason := not_covered(weights.config) or "":
            return None, reason
        model = CudaModel(weights, device)
    except torch.OutOfMemoryError:
        raise
    except Exception as exc:  # a broken Triton's: of many types, none of them ours
        return None, _failure(exc)
    lanes, steps = _LONG_CHECK
    reason = _checked(model, lanes, steps)
    return (None, reason) if reason else (model, "")


def _missing(device: str) -> str:
    """Returns what the kernels need and is not there, or nothing."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if torch.device(device).type != "cuda":
        return ""
    if torch.version.hip is not None:
        return "the kernels are made for NVIDIA GPUs"
    if (found := torch.cuda.get_device_capability(device)) < MIN_CAPABILITY:
        return f"its compute capability is {found[0]}.{found[1]}, the kernels need 8.0"
    return ""


def _fault_of(model: CudaModel, lanes: int, max_steps: int) -> str:
    """Returns why an engine of so many lanes and steps cannot be used, or nothing.

    Other sizes are other machine code, so these very ones are checked, once: a full block, single
    steps, the third being a replay of a CUDA graph, and a shorter block.
    """
    key = lanes, max_steps
    if key not in model.faults:
        model.faults[key] = _checked(model, lanes, (max_steps, 1, 1, 1, -(-max_steps // 3)))
    return model.faults[key]


def _checked(model: CudaModel, lanes: int, steps: Sequence[int]) -> str:
    """Compares passes with the reference's; returns what is wrong, or nothing."""
    try:
        if _is_right(model, lanes, steps):
            return ""
    except torch.OutOfMemoryError:
        raise
    except Exception as exc:  # a compiler's or a driver's: of many types, none of them ours
        return _failure(exc)
    _log.warning("the kernels give other bits than the reference on this GPU")
    return "the kernels give wrong bits"


def _failure(exc: Exception) -> str:
    _log.warning("the kernels fail on this GPU: %s: %s", type(exc).__name__, exc)
    return "the kernels fail"


def _is_right(model: CudaModel, lanes: int, steps: Sequence[int]) -> bool:
    """Whether the kernels equal the reference in passes of random tokens."""
    from lmcompress.gpt.cuda.engine import CudaEngine

    config, distinct = model.config, min(lanes, _DISTINCT_LANES)
    engine = CudaEngine(model, lanes, max(steps))
    reference = _reference(model.weights, str(model.device), distinct)
    generator, of = np.random.default_rng(0), np.arange(lanes) % distinct
    for wanted in steps:
        count = min(wanted, engine.max_steps, config.context_length - engine.position)
        if count < 1:
            break
        tokens = generator.integers(0, config.vocab_size, (distinct, count))
        if model.weights.tokens is None:  # what is asked of an engine: frequencies, or logits
            found, expected = engine.predict(tokens[of]), reference.predict(tokens)
            is_equal = np.array_equal(found, expected[:, of])
        else:
            logits, right = engine.device_logits(tokens[of]), reference.device_logits(tokens)
            is_equal = torch.equal(logits, right[:, torch.from_numpy(of).to(right.device)])
        if not is_equal:
            return False
    return True
