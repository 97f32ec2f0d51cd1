"""Which engine a GPU gets: the kernels where they can run and are right, else the reference."""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

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
_CHECKS = ((3, (5, 1, 1, 1)), (3, (200, 1, 200)), (400, (3,)))
"""Lanes and steps of passes that are compared with the reference's: a decoder's, the third single
step being a replay of a CUDA graph; an encoder's, with several tiles and blocks of keys, until the
rings of short windows wrap; and so many rows that one program takes several."""


def gpu_engine(
    weights: ExactWeights, lanes: int, max_steps: int, device: str = "cuda"
) -> CudaEngine | TorchEngine:
    """Returns the fast engine if it gives the reference's bits here; says which one it took."""
    model, reason = gpu_model(weights, device)
    if model is None:
        _log.info("on %s: the plain reference, for %s", device, reason)
        return TorchEngine(weights, device, max(1, REFERENCE_ROWS // lanes))
    from lmcompress.gpt.cuda.engine import CudaEngine

    _log.info("on %s: the fused kernels", device)
    return CudaEngine(model, lanes, max_steps)


@functools.lru_cache(maxsize=4)
def gpu_model(weights: ExactWeights, device: str) -> tuple[CudaModel | None, str]:
    """Returns the model laid out for the kernels, or None and why it must be the reference."""
    if reason := _missing(device):
        return None, reason
    try:
        from lmcompress.gpt.cuda.weights import CudaModel, not_covered

        if reason := not_covered(weights.config) or "":
            return None, reason
        model = CudaModel(weights, device)
        is_right = _gives_known_answers(model)
    except Exception as exc:  # a compiler's or a driver's: of many types, none of them ours
        _log.warning("the kernels fail on this GPU: %s: %s", type(exc).__name__, exc)
        return None, "the kernels fail"
    if not is_right:
        _log.warning("the kernels give other bits than the reference on this GPU")
        return None, "the kernels give wrong bits"
    return model, ""


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


def _gives_known_answers(model: CudaModel) -> bool:
    """Whether the kernels equal the reference on random tokens, in passes of all kinds."""
    return all(_is_right(model, lanes, steps) for lanes, steps in _CHECKS)


def _is_right(model: CudaModel, lanes: int, steps: Sequence[int]) -> bool:
    from lmcompress.gpt.cuda.engine import CudaEngine

    engine = CudaEngine(model, lanes, max(steps))
    reference = TorchEngine(model.weights, str(model.device), max(1, REFERENCE_ROWS // lanes))
    generator = np.random.default_rng(0)
    for wanted in steps:
        count = min(wanted, model.config.context_length - engine.position)
        if count < 1:
            break
        tokens = generator.integers(0, model.config.vocab_size, (lanes, count))
        if not np.array_equal(engine.predict(tokens), reference.predict(tokens)):
            return False
    return True
