"""Compiles every kernel of the GPU engine to machine code, on a machine without a GPU.

Triton's wheel brings its own assembler, so all of this but the last step (loading the code) runs
anywhere. As a program it prints, as JSON, the PTX instructions that each kernel uses.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase
from triton.runtime.jit import JITFunction

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import ExactWeights, quantize_network
from tests.support.exactness import random_weights

_INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+ )?([a-z][a-z0-9_]*(?:\.[a-z0-9_:]+)*)\s", re.MULTILINE)
_compiled: dict[str, set[str]] = {}


class _NoDevice(DriverBase):
    """Names a target to compile for; there is nothing to run on."""

    def __init__(self, capability: int) -> None:
        self._capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self._capability, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    @classmethod
    def is_active(cls) -> bool:
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        return ty

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def get_benchmarker(self) -> Any:
        return None


def _compile(self: JITFunction, grid: tuple[int, ...]) -> Any:
    """Stands in for a launch."""

    def compile_only(*args: Any, **kwargs: Any) -> None:
        kernel = self.warmup(*args, grid=grid, **kwargs)
        assert kernel.asm["cubin"]
        found = set(_INSTRUCTION.findall(kernel.asm["ptx"]))
        _compiled.setdefault(self.__name__, set()).update(found)

    return compile_only


def _weights(name: str) -> ExactWeights:
    """Returns a random network; `wide` has the sizes of real ones, three queries for each key."""
    if name != "wide":
        return random_weights(name)
    return quantize_network(GPT(GPTConfig(n_layer=1, n_embd=576, n_head=9, n_kv_head=3)))


def instructions(capability: int, names: list[str]) -> dict[str, list[str]]:
    """Returns the PTX instructions of each kernel, over all launches of some networks."""
    from lmcompress.gpt.cuda.engine import CudaEngine
    from lmcompress.gpt.cuda.weights import CudaModel

    triton.runtime.driver.set_active(_NoDevice(capability))
    JITFunction.__getitem__ = _compile
    for name in names:
        engine = CudaEngine(CudaModel(_weights(name), "cpu"), 3, 40)
        for steps in (1, 40):
            engine.predict(np.zeros((3, steps), np.int64))
            engine.reset()
    return {kernel: sorted(found) for kernel, found in _compiled.items()}


if __name__ == "__main__":
    print(json.dumps(instructions(int(sys.argv[1]), sys.argv[2:])))
