"""The same bits for any batch, thread count, path, matmul precision and instruction set."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lmcompress.gpt import reference
from lmcompress.gpt.cpu import matmul, tensor_parallel
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.select import cpu_engine
from lmcompress.gpt.cpu.tensor_parallel import TensorParallelEngine
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.store import DEFAULT_MODEL, load_model
from tests.support.exactness import (
    CONFIGS,
    all_digests,
    cuts_for,
    random_tokens,
    random_weights,
    run,
)

PATHS = ["one pass", "chunks", "single steps"]
NAMES = [*CONFIGS, DEFAULT_MODEL]


def weights_of(name: str) -> ExactWeights:
    return random_weights(name) if name in CONFIGS else load_model(name).weights


def wide(weights: ExactWeights, bits: int) -> ExactWeights:
    """Returns the same network with inputs of its linear layers of so many bits."""
    config = dataclasses.replace(weights.config, activation_bits=bits)
    return ExactWeights(config, weights.arrays)


@pytest.fixture(params=["ieee", "bf16"])
def matmul_precision(request: pytest.FixtureRequest) -> Iterator[str]:
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = request.param
    yield request.param
    torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.mark.parametrize("name", NAMES)
def test_reference_is_equal_over_paths_batches_and_precision(
    name: str, matmul_precision: str
) -> None:
    model, tokens = weights_of(name), random_tokens(8)
    expected = run(CpuEngine(CpuModel(model), 8, 40, 1), tokens, cuts_for("one pass"))

    for path in PATHS:
        found = run(TorchEngine(model, "cpu"), tokens, cuts_for(path))
        assert np.array_equal(found, expected), path
    alone = run(TorchEngine(model, "cpu"), tokens[:1], cuts_for("chunks"))
    assert np.array_equal(alone, expected[:, :1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_kernels_equal_the_reference_over_paths_batches_and_threads(
    name: str, threads: int
) -> None:
    model, tokens = weights_of(name), random_tokens(64)
    expected = run(TorchEngine(model, "cpu"), tokens, cuts_for("one pass"))
    cpu_model = CpuModel(model)

    for path in PATHS:
        for lanes in (1, 8, 64):
            cuts = cuts_for(path)
            found = run(CpuEngine(cpu_model, lanes, max(cuts), threads), tokens[:lanes], cuts)
            assert np.array_equal(found, expected[:, :lanes]), (path, lanes)


@pytest.mark.parametrize("bits", [12, 16])
def test_reference_with_wide_inputs_is_equal_over_paths_batches_and_precision(
    bits: int, matmul_precision: str
) -> None:
    model, tokens = wide(random_weights("llama"), bits), random_tokens(8)
    expected = run(TorchEngine(model, "cpu"), tokens, cuts_for("one pass"))

    for path in PATHS:
        assert np.array_equal(run(TorchEngine(model, "cpu"), tokens, cuts_for(path)), expected)
    alone = run(TorchEngine(model, "cpu"), tokens[:1], cuts_for("chunks"))
    assert np.array_equal(alone, expected[:, :1])
    narrow = run(TorchEngine(random_weights("llama"), "cpu"), tokens, cuts_for("one pass"))
    assert not np.array_equal(narrow, expected)


@pytest.mark.parametrize(("name", "bits"), [("llama", 12), ("neox", 12), ("gpt-2", 16)])
def test_kernels_with_wide_inputs_equal_the_reference(
    name: str, bits: int, matmul_precision: str
) -> None:
    model, tokens = wide(random_weights(name), bits), random_tokens(8)
    expected = run(TorchEngine(model, "cpu"), tokens, cuts_for("one pass"))
    cpu_model = CpuModel(model)

    for path, lanes, threads in itertools.product(PATHS, (1, 8), (1, 2)):
        cuts = cuts_for(path)
        found = run(CpuEngine(cpu_model, lanes, max(cuts), threads), tokens[:lanes], cuts)
        assert np.array_equal(found, expected[:, :lanes]), (path, lanes, threads)


@pytest.mark.parametrize("name", ["llama", "neox", "gpt-1", "gpt-2", "gpt-3", "qwen-2", "qwen-3"])
def test_shared_products_equal_the_reference_over_paths_batches_and_threads(name: str) -> None:
    model, tokens = wide(random_weights(name), 12), random_tokens(8)
    expected = run(TorchEngine(model, "cpu"), tokens, cuts_for("one pass"))
    cpu_model = CpuModel(model)
    assert tensor_parallel.fits(cpu_model)

    for path, lanes, threads in itertools.product(PATHS, (1, 3, 8), (1, 2, 3)):
        cuts = cuts_for(path)
        with contextlib.closing(
            TensorParallelEngine(cpu_model, lanes, max(cuts), threads)
        ) as engine:
            found = run(engine, tokens[:lanes], cuts)
        assert np.array_equal(found, expected[:, :lanes]), (path, lanes, threads)


@pytest.mark.parametrize("name", CONFIGS)
def test_kernels_start_anew_after_a_reset(name: str) -> None:
    tokens = random_tokens(3)
    engine = CpuEngine(CpuModel(random_weights(name)), 3, 16, 1)
    first = engine.predict(tokens)

    engine.reset()

    assert np.array_equal(engine.predict(tokens), first)


def test_wide_inputs_with_ngrams_are_exact_too() -> None:
    model, tokens = wide(random_weights("ngrams"), 12), random_tokens(2)
    expected = run(TorchEngine(model, "cpu"), tokens, cuts_for("one pass"))
    cpu_model = CpuModel(model)

    for engine in (CpuEngine(cpu_model, 2, 18, 2), TensorParallelEngine(cpu_model, 2, 18, 2)):
        assert np.array_equal(run(engine, tokens, cuts_for("chunks")), expected)


def test_shared_products_give_the_logits_that_lanes_side_by_side_give() -> None:
    model, tokens = wide(random_weights("llama"), 12), random_tokens(3)
    cpu_model = CpuModel(model)
    alone, shared = CpuEngine(cpu_model, 3, 16, 1), TensorParallelEngine(cpu_model, 3, 16, 2)

    for engine in (alone, shared):
        engine.read(tokens[:, :30])
        engine.reset()
    expected, found = (engine.logits(tokens) for engine in (alone, shared))

    assert np.array_equal(found, expected)


def test_nobody_waits_for_a_thread_that_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = TensorParallelEngine(CpuModel(wide(random_weights("llama"), 12)), 3, 16, 2)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine._forwards[0], "kernel", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.read(random_tokens(3))
    engine.close()  # waits for the other thread


def test_products_are_shared_for_large_weights_and_few_lanes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = wide(random_weights("llama"), 12)
    monkeypatch.setattr(tensor_parallel, "usable_cpus", lambda: 2)
    assert isinstance(cpu_engine(model, 1, 1, 2), CpuEngine)

    monkeypatch.setattr(tensor_parallel, "LARGE_BYTES", 1)
    assert isinstance(cpu_engine(model, 1, 1, 2), TensorParallelEngine)
    assert isinstance(cpu_engine(model, 3, 1, 2), CpuEngine)  # lanes enough for both
    assert isinstance(cpu_engine(model, 1, 1, 1), CpuEngine)  # nobody to share with
    assert isinstance(cpu_engine(random_weights("llama"), 1, 1, 2), CpuEngine)  # of bytes
    banded = wide(random_weights("gpt-3"), 12)
    assert isinstance(cpu_engine(banded, 1, 1, 2), TensorParallelEngine)


@pytest.mark.parametrize("threads", [1, 2])
def test_reference_is_equal_over_intra_op_threads(threads: int) -> None:
    model, tokens = random_weights("gpt-2"), random_tokens(8)
    expected = run(CpuEngine(CpuModel(model), 8, 40, 1), tokens, cuts_for("one pass"))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = run(TorchEngine(model, "cpu"), tokens, cuts_for("one pass"))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("int8", [True, False], ids=["int8", "float"])
def test_a_callers_autocast_changes_no_bit(int8: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "int8_product_is_usable", lambda: int8)
    monkeypatch.setattr(matmul, "beats_pytorch", lambda num_rows: False)
    model, tokens = random_weights("gpt-2"), random_tokens(3)
    expected = run(CpuEngine(CpuModel(model), 3, 40, 1), tokens, cuts_for("one pass"))

    with torch.autocast("cpu", torch.bfloat16):
        for engine in (CpuEngine(CpuModel(model), 3, 40, 1), TorchEngine(model, "cpu")):
            assert np.array_equal(run(engine, tokens, cuts_for("one pass")), expected)


def test_kernels_equal_the_reference_where_positions_wrap() -> None:
    model, tokens = random_weights("default-like"), random_tokens(2, 300)  # period 128
    expected = run(TorchEngine(model, "cpu"), tokens, [7, 130, 163])

    found = run(CpuEngine(CpuModel(model), 2, 50, 1), tokens, [100, *[1] * 60, 140])

    assert np.array_equal(found, expected)


# Machines of other kinds, as far as one machine can play them: each limits all of its libraries.
ENVIRONMENTS = {
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
    },
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "COMPATIBLE",
    },
    "AVX-512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "bfloat16 allowed": {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"},
}


@pytest.fixture(scope="session")
def digests_here() -> dict[str, dict[str, str]]:
    return all_digests([DEFAULT_MODEL])


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_bits_are_equal_over_instruction_sets(
    environment: dict[str, str], digests_here: dict[str, dict[str, str]]
) -> None:
    script = Path(__file__).parents[1] / "support" / "exactness.py"
    result = subprocess.run(
        [sys.executable, str(script), DEFAULT_MODEL],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == digests_here
    assert all(d["reference"] == d["cpu"] for d in digests_here.values())
