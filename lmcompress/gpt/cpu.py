"""Which engine of the CPU path evaluates a model."""

from __future__ import annotations

from lmcompress.gpt import team_cpu
from lmcompress.gpt.block_engine import BlockEngine
from lmcompress.gpt.engine_cpu import CpuEngine, cpu_model
from lmcompress.gpt.quantization import ExactWeights


def cpu_engine(weights: ExactWeights, lanes: int, max_steps: int, threads: int) -> BlockEngine:
    """Returns the fastest engine; the bits do not depend on it."""
    model = cpu_model(weights)
    if threads > 1 and team_cpu.fits(model):
        count = team_cpu.team_size(threads)
        if count > 1 and team_cpu.pays(model, lanes, count):
            return team_cpu.TeamEngine(model, lanes, max_steps, count)
    return CpuEngine(model, lanes, max_steps, threads)
