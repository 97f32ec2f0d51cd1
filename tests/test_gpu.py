"""CPU and GPU give the same bits; skipped without a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exactness import CONFIGS, cuts_for, random_tokens, random_weights, run

import lmcompress
from lmcompress import CodecConfig
from lmcompress.gpt.engine_cpu import CpuEngine, CpuModel
from lmcompress.gpt.engine_torch import TorchEngine
from lmcompress.model_store import DEFAULT_MODEL, load_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("path", ["one pass", "chunks", "single steps"])
@pytest.mark.parametrize("name", [*CONFIGS, DEFAULT_MODEL])
def test_gpu_bits_are_the_cpus(name: str, path: str, precision: str) -> None:
    model = random_weights(name) if name in CONFIGS else load_model(name).weights
    tokens = random_tokens(64)
    expected = run(CpuEngine(CpuModel(model), 64, 40, 1), tokens, cuts_for("one pass"))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        found = run(TorchEngine(model, "cuda"), tokens, cuts_for(path))
    finally:
        torch.set_float32_matmul_precision(before)

    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("made_on", "read_on"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_file_made_on_one_decodes_on_the_other(made_on: str, read_on: str) -> None:
    raw = b"What is made on one machine is read on another. " * 40

    frame = lmcompress.compress(raw, config=CodecConfig(lanes=16, device=made_on))

    assert lmcompress.decompress(frame, config=CodecConfig(device=read_on)) == raw
    assert frame == lmcompress.compress(raw, config=CodecConfig(lanes=16, device=read_on))
