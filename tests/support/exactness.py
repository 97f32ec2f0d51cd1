"""Random networks of every configuration, and digests of their frequencies.

Run as a program it prints the digests of this process as JSON, so that a test can compare processes
that were started with other instruction sets.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import torch

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import ExactWeights, quantize_network
from lmcompress.gpt.reference_engine import TorchEngine

SIZES = {"n_layer": 2, "n_head": 2, "n_embd": 64, "head_dim": 32, "context_length": 48}
CONFIGS: dict[str, dict[str, object]] = {
    "default-like": {
        "norm_gain": False,
        "qk_norm": True,
        "activation": "relu2",
        "attention_windows": (8, 16),
        "rotary_period": 128,
    },
    "ngrams": {
        "norm_gain": False,
        "activation": "relu2",
        "attention_windows": (8, 16),
        "rotary_period": 128,
        "ngram_orders": (2, 3, 5, 9),
        "ngram_bits": 5,
    },
    "gpt-1": {"norm": "layernorm", "norm_position": "post", "positions": "learned", "bias": True},
    "gpt-2": {"norm": "layernorm", "positions": "learned", "bias": True, "tied": True},
    "gpt-3": {
        "norm": "layernorm",
        "positions": "learned",
        "bias": True,
        "attention_windows": (0, 8),
    },
    "llama": {"activation": "swiglu", "n_kv_head": 1, "norm_eps": 1e-5},
    "paper": {"activation": "gelu", "norm": "layernorm"},
    "neox": {
        "norm": "layernorm",
        "parallel_residual": True,
        "rotary_dim": 8,
        "activation": "gelu_erf",
        "bias": True,
    },
    "qwen-2": {"activation": "swiglu", "n_kv_head": 1, "qkv_bias": True, "tied": True},
    "qwen-3": {"activation": "swiglu", "qk_norm": True, "qk_norm_gain": True, "n_kv_head": 1},
    "rms-post": {"norm_position": "post", "activation": "relu2", "tied": True},
}
ON_GPU = tuple(name for name in CONFIGS if name not in ("neox", "qwen-3"))
"""Those that the GPU kernels cover; the reference evaluates the others there."""
STEPS = 40


def random_weights(name: str, scale: float = 4.0) -> ExactWeights:
    """Returns a network with weights large enough that predictions are far from uniform."""
    network = GPT(GPTConfig(**{**SIZES, **CONFIGS[name]}))  # type: ignore[arg-type]
    # Not torch.randn: its bits depend on the instruction set.
    rng = np.random.default_rng(len(name))
    with torch.no_grad():
        for parameter in network.parameters():
            values = rng.standard_normal(parameter.shape).astype(np.float32)
            offset = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(torch.from_numpy(values) * (0.02 * scale) + offset)
    return quantize_network(network)


def random_tokens(lanes: int, steps: int = STEPS) -> np.ndarray:
    """Returns tokens int64 (lanes, steps), the same lanes first whatever their number."""
    rows = [np.random.default_rng(lane).integers(0, 256, steps) for lane in range(lanes)]
    return np.stack(rows)


def run(engine: CpuEngine | TorchEngine, tokens: np.ndarray, cuts: list[int]) -> np.ndarray:
    """Returns weights (steps, lanes, vocab_size), reading tokens in parts of the given sizes."""
    bounds = np.cumsum([0, *cuts])
    parts = [engine.predict(tokens[:, a:b]) for a, b in itertools.pairwise(bounds)]
    return np.concatenate(parts)


def cuts_for(path: str, steps: int = STEPS) -> list[int]:
    """Returns the sizes of the calls that make up one path through a text."""
    if path == "one pass":
        return [steps]
    if path == "single steps":
        return [1] * steps
    return [7, 18, 1, steps - 26]


def digest(weights: np.ndarray) -> str:
    """Returns a hash of frequencies."""
    return hashlib.sha256(np.ascontiguousarray(weights, np.float32).tobytes()).hexdigest()


def digests(model: ExactWeights) -> dict[str, str]:
    """Returns one digest for each implementation."""
    tokens = random_tokens(3)
    reference = run(TorchEngine(model, "cpu"), tokens, cuts_for("one pass"))
    fast = run(CpuEngine(CpuModel(model), 3, 18, 1), tokens, cuts_for("chunks"))
    return {"reference": digest(reference), "cpu": digest(fast), "frame": frame_digest(model)}


def frame_digest(model: ExactWeights) -> str:
    """Returns a hash of a compressed text: the adaptive stage and the coder take part."""
    from lmcompress import CodecConfig, compress
    from lmcompress.models.store import Model

    raw = b"The same words come again, and again the same words come. " * 6
    named = Model("digest", model, {}, Path())
    return hashlib.sha256(compress(raw, named, CodecConfig(lanes=3))).hexdigest()


def all_digests(model_names: list[str]) -> dict[str, dict[str, str]]:
    """Returns digests of every random network and of the named models."""
    from lmcompress.models.store import load_model

    found = {name: digests(random_weights(name)) for name in CONFIGS}
    return found | {name: digests(load_model(name).weights) for name in model_names}


if __name__ == "__main__":
    print(json.dumps(all_digests(sys.argv[1:])))
