"""How fast a GPU steps through a network, what limits it, and which kernels take the time.

Speeds are of the engine alone, in tokens a second, behind a full window: encoding in blocks,
decoding step by step. Frequencies are copied to the host; the logits of large vocabularies stay on
the device.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from experiments.support.gpu_networks import NETWORKS, product_shapes, random_exact
from lmcompress.codec.lanes import block_steps
from lmcompress.gpt.cuda.select import gpu_engine
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import ExactWeights

ROWS = 8192
"""Rows of a roofline's products."""
FULL = 1024
"""Tokens before the first measured one: every window is full."""
_REPLAYS = 20


def seconds_of(run: Callable[[], Any], repeats: int = 5) -> float:
    """Returns the median time of a run on the device, after two that do not count."""
    run(), run(), run()
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def rooflines(name: str) -> dict[str, Any]:
    """Returns what limits a network, in tokens a second.

    Measures the pure products of ROWS tokens, and the float network's forward pass in bf16.
    """
    from lmcompress.gpt.cuda.matmul import product_for

    config, device = NETWORKS[name], torch.device("cuda")
    int8 = bf16 = 0.0
    shapes = product_shapes(config)
    for width, depth in dict.fromkeys(shapes):
        count = shapes.count((width, depth))
        q = torch.ones(ROWS, depth, dtype=torch.int8, device=device)
        weight = torch.ones(width, depth, dtype=torch.int8, device=device)
        out = torch.empty(ROWS, width, dtype=torch.int32, device=device)
        product = product_for(ROWS, width, depth, device)
        int8 += count * seconds_of(functools.partial(product, q, weight, out))
        x, y = q.bfloat16(), weight.bfloat16().T.contiguous()
        bf16 += count * seconds_of(functools.partial(torch.matmul, x, y))
    network = GPT(config).to(device, torch.bfloat16).eval()
    tokens = torch.randint(0, 256, (ROWS // FULL, FULL), device=device)
    with torch.inference_mode():
        forward = seconds_of(lambda: network(tokens))
    return {
        "network": name,
        "int8_products_tokens_per_second": ROWS / int8,
        "bf16_products_tokens_per_second": ROWS / bf16,
        "bf16_forward_tokens_per_second": ROWS / forward,
    }


def engine_speeds(name: str, lanes: int) -> dict[str, Any]:
    """Returns tokens a second of encoding and decoding, or that it does not fit into memory."""
    weights = _weights_of(name)
    row = {"network": name, "parameters": weights.config.num_parameters, "lanes": lanes}
    try:
        encode = _tokens_per_second(weights, lanes, block_steps(lanes, 1, "cuda"), 5)
        decode = _tokens_per_second(weights, lanes, 1, 50)
    except torch.OutOfMemoryError:
        return {**row, "fits": False}
    finally:
        torch.cuda.empty_cache()
    return {
        **row,
        "fits": True,
        "encode_tokens_per_second": encode,
        "decode_tokens_per_second": decode,
    }


def kernel_times(name: str, lanes: int) -> dict[str, Any]:
    """Returns the microseconds that each kernel takes of a decoder's step, and the step's own."""
    engine, step = _engine_and_tokens(_weights_of(name), lanes, 1)
    seconds = seconds_of(lambda: engine.predict(step), 50)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(_REPLAYS):
            engine.predict(step)
        torch.cuda.synchronize()
    times = {e.key: e.device_time_total / _REPLAYS for e in profiled.key_averages()}
    return {
        "network": name,
        "lanes": lanes,
        "step_microseconds": round(seconds * 1e6, 1),
        "kernel_microseconds": {key: round(value, 2) for key, value in times.items() if value},
    }


@functools.lru_cache(maxsize=1)
def _weights_of(name: str) -> ExactWeights:
    """Returns the same weights for all numbers of lanes: they are checked on the GPU only once."""
    return random_exact(NETWORKS[name])


def _tokens_per_second(weights: ExactWeights, lanes: int, steps: int, repeats: int) -> float:
    engine, tokens = _engine_and_tokens(weights, lanes, steps)

    def read() -> None:  # in passes, of each of which logits stay on the device
        for start in range(0, steps, engine.max_steps):
            engine.device_logits(tokens[:, start : start + engine.max_steps])

    on_device = weights.config.vocab_size > 256
    seconds = seconds_of(read if on_device else lambda: engine.predict(tokens), repeats)
    return lanes * steps / seconds


def _engine_and_tokens(weights: ExactWeights, lanes: int, steps: int) -> tuple[Any, Any]:
    """Returns an engine behind a full window, checked, and random tokens (lanes, steps).

    Raises:
      RuntimeError: If the kernels do not run here.
    """
    from lmcompress.gpt.cuda.engine import CudaEngine

    engine = gpu_engine(weights, lanes, steps)
    if not isinstance(engine, CudaEngine):
        raise RuntimeError("the kernels do not run here: the log says why")
    engine.position = FULL
    return engine, np.random.default_rng(0).integers(0, 256, (lanes, steps))
