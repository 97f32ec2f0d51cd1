"""Which engine of the CPU path evaluates a model."""

from __future__ import annotations

from lmcompress.gpt.cpu import tensor_parallel
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import cpu_model
from lmcompress.gpt.engine import BlockEngine
from lmcompress.gpt.quantization import ExactWeights


def cpu_engine(weights: ExactWeights, lanes: int, max_steps: int, threads: int) -> BlockEngine:
    """Returns the fastest engine; the bits do not depend on it."""
    model = cpu_model(weights)
    if threads > 1 and tensor_parallel.fits(model):
        count = tensor_parallel.thread_count(threads)
        if count > 1 and tensor_parallel.pays(model, lanes, count):
            return tensor_parallel.TensorParallelEngine(model, lanes, max_steps, count)
    return CpuEngine(model, lanes, max_steps, threads)
