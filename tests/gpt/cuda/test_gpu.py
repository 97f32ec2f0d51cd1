"""CPU and GPU give the same bits; skipped without a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lmcompress
from lmcompress import CodecConfig
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cuda.select import gpu_model
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.manifest import read_manifest
from lmcompress.models.store import Model, folders, load_model
from tests.support.exactness import CONFIGS, ON_GPU, cuts_for, random_tokens, random_weights, run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def models_of_bytes() -> list[str]:
    """Returns the installed models whose frequencies of a long text fit into memory."""
    return [
        name
        for name, folder in sorted(folders().items())
        if GPTConfig.from_dict(read_manifest(folder)["config"]).vocab_size == 256
    ]


SHIPPED = models_of_bytes()
PATHS = ["one pass", "chunks", "single steps"]


def weights_of(name: str) -> ExactWeights:
    weights = random_weights(name) if name in CONFIGS else load_model(name).weights
    assert weights is not None
    return weights


def expected_of(weights: ExactWeights, tokens: np.ndarray) -> np.ndarray:
    lanes, steps = tokens.shape
    return run(CpuEngine(CpuModel(weights), lanes, steps, 1), tokens, [steps])


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [*CONFIGS, *SHIPPED])
def test_the_reference_has_the_cpus_bits(name: str, path: str, precision: str) -> None:
    weights, tokens = weights_of(name), random_tokens(64)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        found = run(TorchEngine(weights, "cuda"), tokens, cuts_for(path))
    finally:
        torch.set_float32_matmul_precision(before)

    assert np.array_equal(found, expected_of(weights, tokens))


@pytest.mark.parametrize("graphs", [True, False], ids=["graphs", "launches"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [*ON_GPU, *SHIPPED])
def test_the_kernels_have_the_cpus_bits(name: str, path: str, graphs: bool) -> None:
    pytest.importorskip("triton")
    from lmcompress.gpt.cuda.engine import CudaEngine

    weights = weights_of(name)
    model, reason = gpu_model(weights, "cuda")
    assert model is not None, reason

    for lanes in (1, 17, 64):
        tokens, cuts = random_tokens(lanes), cuts_for(path)
        engine = CudaEngine(model, lanes, max(cuts), graphs=graphs)
        expected = expected_of(weights, tokens)
        for _ in range(3):  # launches, then a graph's capture, then its replay
            engine.reset()
            assert np.array_equal(run(engine, tokens, cuts), expected)


@pytest.mark.parametrize("name", SHIPPED)
def test_long_streams_stay_equal_in_several_passes(name: str) -> None:
    pytest.importorskip("triton")
    from lmcompress.gpt.cuda.engine import CudaEngine

    weights = weights_of(name)
    model, reason = gpu_model(weights, "cuda")
    assert model is not None, reason
    steps = 700 if weights.config.streams else min(700, weights.config.context_length)
    tokens = random_tokens(5, steps)
    logits = np.zeros((steps, 5, weights.config.vocab_size), np.float32)
    expected_logits = np.zeros_like(logits)
    expected = CpuEngine(CpuModel(weights), 5, 100, 1).predict(tokens, expected_logits)

    found = CudaEngine(model, 5, 64).predict(tokens, logits)  # copies overlap with passes

    assert np.array_equal(found, expected)
    assert np.array_equal(logits, expected_logits)


@pytest.mark.parametrize("lanes", [1, 16, 300])
@pytest.mark.parametrize(("made_on", "read_on"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_file_made_on_one_decodes_on_the_other(made_on: str, read_on: str, lanes: int) -> None:
    raw = b"What is made on one machine is read on another. " * 40

    frame = lmcompress.compress(raw, config=CodecConfig(lanes=lanes, device=made_on))

    assert lmcompress.decompress(frame, config=CodecConfig(device=read_on)) == raw
    assert frame == lmcompress.compress(raw, config=CodecConfig(lanes=lanes, device=read_on))


@pytest.mark.parametrize(("made_on", "read_on"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_file_of_tokens_made_on_one_decodes_on_the_other(
    token_model: Model, made_on: str, read_on: str
) -> None:
    raw = b"What is made on one machine is read on another. " * 40

    frame = lmcompress.compress(raw, token_model, CodecConfig(lanes=5, device=made_on))

    assert lmcompress.decompress(frame, token_model, CodecConfig(device=read_on)) == raw
