"""Compiles every kernel of the GPU engine to machine code, on a machine without a GPU.

Triton's wheel brings its own assembler, so all of this but the last step (loading the code) runs
anywhere. As a program it prints, as JSON, the PTX instructions that each kernel uses.
"""

from __future__ import annotations

import itertools
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
from tests.support.exactness import ON_GPU, random_weights

_INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+ )?([a-z][a-z0-9_]*(?:\.[a-z0-9_:]+)*)\s", re.MULTILINE)
MOST_SHARED = 99 << 10
"""Bytes of shared memory that a program may take on 8.6, 8.9 and 12.0; the others have more."""
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
        assert kernel.metadata.shared <= MOST_SHARED, self.__name__
        found = set(_INSTRUCTION.findall(kernel.asm["ptx"]))
        _compiled.setdefault(self.__name__, set()).update(found)

    return compile_only


SIZES: dict[str, dict[str, Any]] = {
    "published": {
        "n_embd": 576, "n_head": 9, "n_kv_head": 3, "mlp_hidden": 1536, "activation": "swiglu",
        "activation_bits": 12,
    },
    "large heads": {"n_embd": 64, "n_head": 2, "head_dim": 256, "activation": "gelu"},
    "64 queries a key": {"n_embd": 64, "n_head": 64, "n_kv_head": 1, "head_dim": 64},
    "LayerNorm": {"n_embd": 1600, "n_head": 25, "norm": "layernorm", "positions": "learned"},
}  # fmt: skip
"""Sizes that need other tiles than the small networks of `exactness.py`."""
PASSES = ((3, 1), (3, 40), (20, 1), (40, 1), (1, 16), (256, 1), (256, 32))
"""Lanes and steps: products of 16 to 128 rows a tile, several rows a program, one query a tile and
many."""

PRODUCTS = tuple(itertools.product((16, 32, 64, 128), (2048, 4096, 8192)))
"""Rows and widths whose tiles are all that there are."""


def _weights(name: str) -> ExactWeights:
    if name not in SIZES:
        return random_weights(name)
    return quantize_network(GPT(GPTConfig(n_layer=1, context_length=64, **SIZES[name])))


def instructions(capability: int, names: list[str]) -> dict[str, list[str]]:
    """Returns the PTX instructions of each kernel, over all launches of some networks."""
    from lmcompress.gpt.cuda import engine, matmul
    from lmcompress.gpt.cuda.weights import CudaModel

    triton.runtime.driver.set_active(_NoDevice(capability))
    JITFunction.__getitem__ = _compile
    engine.product_for = lambda *_: matmul.triton_product  # known answers come from no device
    for rows, width in PRODUCTS:
        q, weight = (torch.zeros(n, 64, dtype=torch.int8) for n in (rows, width))
        matmul.triton_product(q, weight, torch.zeros(rows, width, dtype=torch.int32))
    for name in names:
        model = CudaModel(_weights(name), "cpu")
        for lanes, steps in PASSES if name in SIZES else PASSES[:2]:
            engine.CudaEngine(model, lanes, steps).predict(np.zeros((lanes, steps), np.int64))
    return {kernel: sorted(found) for kernel, found in _compiled.items()}


if __name__ == "__main__":
    print(json.dumps(instructions(int(sys.argv[1]), sys.argv[2:] or [*SIZES, *ON_GPU])))
