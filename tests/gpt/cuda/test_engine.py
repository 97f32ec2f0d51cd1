"""The GPU's engine, in Triton's interpreter where there is no GPU, and which engine a GPU gets."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
import torch

import lmcompress
from lmcompress import CodecConfig
from lmcompress.codec.predictor import ContextPolicy, GPTPredictor, new_predictor
from lmcompress.errors import LmcompressError
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.cuda import kernels, matmul, select
from lmcompress.gpt.cuda.engine import CudaEngine
from lmcompress.gpt.cuda.weights import CudaModel, not_covered
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import ExactWeights, quantize_network
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.store import Model
from tests.support.exactness import CONFIGS, ON_GPU, random_tokens, random_weights, run
from tests.support.interpreted import DEVICE

LANES, STEPS = 2, 21


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of many rows: the interpreter gets through sooner."""
    monkeypatch.setattr(kernels, "PROGRAMS", 1)
    monkeypatch.setattr(matmul, "_MIN_PROGRAMS", 1)
    if DEVICE == "cpu":  # seconds, no minute
        monkeypatch.setattr(select, "_LONG_CHECK", (3, (5, 1)))


@pytest.fixture(autouse=True)
def _no_model_of_before() -> None:
    select.gpu_model.cache_clear()


def odd_weights() -> ExactWeights:
    """Sizes that are no powers of two, three query heads for each key/value head."""
    torch.manual_seed(0)
    config = GPTConfig(
        vocab_size=300, n_layer=1, n_embd=42, n_head=3, n_kv_head=1, head_dim=10, mlp_hidden=70,
        context_length=24, activation="swiglu", qk_norm=True,
    )  # fmt: skip
    return quantize_network(GPT(config))


def real_weights(name: str) -> ExactWeights:
    """Returns one layer of the sizes that published models have, with random weights."""
    torch.manual_seed(0)
    return quantize_network(GPT(GPTConfig(n_layer=1, **REAL_SIZES[name])))  # type: ignore[arg-type]


REAL_SIZES: dict[str, dict[str, object]] = {
    "SmolLM2-135M": {
        "vocab_size": 49_152, "n_embd": 576, "n_head": 9, "n_kv_head": 3, "mlp_hidden": 1536,
        "context_length": 2048, "activation": "swiglu", "tied": True, "activation_bits": 12,
    },
    "Qwen2-0.5B": {
        "vocab_size": 2000, "n_embd": 896, "n_head": 14, "n_kv_head": 2, "mlp_hidden": 4864,
        "context_length": 2048, "activation": "swiglu", "tied": True, "qkv_bias": True,
        "activation_bits": 12,
    },
    "GPT-2": {
        "vocab_size": 2000, "n_embd": 768, "n_head": 12, "mlp_hidden": 3072,
        "context_length": 1024, "norm": "layernorm", "positions": "learned", "bias": True,
        "activation": "gelu", "tied": True, "activation_bits": 12,
    },
    "lmc-3m": {
        "n_embd": 256, "n_head": 4, "context_length": 1024, "attention_windows": (512,),
        "rotary_period": 2048, "activation": "relu2", "qk_norm": True, "norm_gain": False,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL_SIZES)
def test_the_engine_equals_the_reference_at_real_sizes(name: str) -> None:
    weights = real_weights(name)
    vocab_size = weights.config.vocab_size
    tokens = np.random.default_rng(0).integers(0, vocab_size, (2, 5))
    expected_logits, logits = (np.zeros((5, 2, vocab_size), np.float32) for _ in range(2))
    expected = TorchEngine(weights, "cpu").predict(tokens, expected_logits)

    found = CudaEngine(CudaModel(weights, DEVICE), 2, 5).predict(tokens, logits)

    assert np.array_equal(found, expected)
    assert np.array_equal(logits, expected_logits)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        *((name, 8) for name in (*ON_GPU, "odd")),
        *((name, 12) for name in ("default-like", "gpt-2", "llama", "rms-post")),
        *(("odd", bits) for bits in (9, 12, 14)),
    ],
)
def test_the_engine_equals_the_reference(name: str, bits: int) -> None:
    weights = odd_weights() if name == "odd" else random_weights(name)
    config = dataclasses.replace(weights.config, activation_bits=bits)
    weights = dataclasses.replace(weights, config=config)
    tokens = random_tokens(LANES, STEPS)
    expected_logits = np.zeros((STEPS, LANES, weights.config.vocab_size), np.float32)
    expected = TorchEngine(weights, "cpu").predict(tokens, expected_logits)
    logits = np.zeros_like(expected_logits)
    engine = CudaEngine(CudaModel(weights, DEVICE), LANES, 20)

    head = engine.predict(tokens[:, :20], logits[:20])
    tail = engine.predict(tokens[:, 20:], logits[20:])

    assert np.array_equal(np.concatenate((head, tail)), expected)
    assert np.array_equal(logits, expected_logits)


def test_what_no_kernel_covers_is_known_by_its_configuration() -> None:
    covered = [name for name in CONFIGS if not not_covered(random_weights(name).config)]

    assert covered == list(ON_GPU)


@pytest.mark.parametrize("name", ["default-like", "ngrams"])
def test_the_engine_starts_anew_after_a_reset(name: str) -> None:
    weights, tokens = random_weights(name), random_tokens(1, 4)
    engine = CudaEngine(CudaModel(weights, DEVICE), 1, 4)
    first = engine.predict(tokens)

    engine.reset()

    assert engine.position == 0
    assert np.array_equal(engine.predict(tokens), first)


def test_long_texts_are_read_in_passes_and_logits_may_stay_on_the_device() -> None:
    weights, tokens = odd_weights(), random_tokens(2, 5)
    model, reference = CudaModel(weights, DEVICE), TorchEngine(weights, "cpu")
    expected_logits = np.zeros((5, 2, weights.config.vocab_size), np.float32)
    expected = reference.predict(tokens, expected_logits)
    logits = np.zeros_like(expected_logits)

    found = CudaEngine(model, 2, 3).predict(tokens, logits)
    kept = CudaEngine(model, 2, 3).device_logits(tokens)

    assert np.array_equal(found, expected)
    assert np.array_equal(logits, expected_logits)
    assert np.array_equal(kept.cpu().numpy(), expected_logits)


def test_results_stay_when_the_engine_goes_on() -> None:
    weights, tokens = odd_weights(), random_tokens(1, 2)
    engine = CudaEngine(CudaModel(weights, DEVICE), 1, 1)
    first = engine.predict(tokens[:, :1])
    kept = first.copy()

    engine.predict(tokens[:, 1:])

    assert np.array_equal(first, kept)


def test_positions_past_learned_ones_are_refused() -> None:
    engine = CudaEngine(CudaModel(random_weights("gpt-2"), DEVICE), 1, 1)
    engine.position = 48

    with pytest.raises(ValueError, match="past the context of 48"):
        engine.predict(random_tokens(1, 1))


def test_a_gpu_gets_the_kernels(caplog: pytest.LogCaptureFixture) -> None:
    weights, tokens = odd_weights(), random_tokens(1, 3)
    with caplog.at_level(logging.INFO, "lmcompress"):
        engine = select.gpu_engine(weights, 1, 3, DEVICE)

    assert isinstance(engine, CudaEngine)
    assert "fused kernels" in caplog.text
    expected = run(TorchEngine(weights, "cpu"), tokens, [3])
    assert np.array_equal(engine.predict(tokens), expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"n_head": 1, "head_dim": 33, "positions": "learned"}, "head_dim is odd"),
        ({"n_head": 1, "head_dim": 512}, "head_dim is 512"),
        ({"mlp_hidden": 1 << 15}, "mlp_hidden is 32768"),
        ({"activation_bits": 15}, "activation_bits is 15"),
        ({"n_head": 128, "n_kv_head": 1, "head_dim": 2}, "n_head / n_kv_head is 128"),
    ],
)
def test_shapes_that_the_kernels_do_not_cover_go_to_the_reference(
    options: dict[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = GPTConfig(n_layer=1, n_embd=8, context_length=8, **options)  # type: ignore[arg-type]
    weights = quantize_network(GPT(config))

    with caplog.at_level(logging.INFO, "lmcompress"):
        engine = select.gpu_engine(weights, 1, 1, DEVICE)

    assert reason in (not_covered(config) or "")
    assert isinstance(engine, TorchEngine)
    assert "plain reference" in caplog.text
    assert reason in caplog.text


def test_without_triton_it_is_the_reference(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(select.importlib.util, "find_spec", lambda name: None)
    with caplog.at_level(logging.INFO, "lmcompress"):
        engine = select.gpu_engine(random_weights("llama"), 1, 1, DEVICE)

    assert isinstance(engine, TorchEngine)
    assert "Triton is not installed" in caplog.text


def test_a_gpu_gets_the_kernels_for_tokens(token_model: Model) -> None:
    weights = token_model.weights
    assert weights is not None
    engine = select.gpu_engine(weights, 2, 3, DEVICE)

    assert isinstance(engine, CudaEngine)
    tokens = random_tokens(2, 4)
    found = engine.device_logits(tokens).cpu().numpy()
    assert np.array_equal(found, TorchEngine(weights, "cpu").logits(tokens))


def test_a_check_runs_the_very_sizes_that_are_used_and_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: list[tuple[int, ...]] = []
    run_pass = CudaEngine._pass

    def counted(engine: CudaEngine, tokens: np.ndarray, **options: bool) -> object:
        passes.append(tokens.shape)
        return run_pass(engine, tokens, **options)

    monkeypatch.setattr(CudaEngine, "_pass", counted)
    weights = odd_weights()
    select.gpu_engine(weights, 7, 6, DEVICE)
    checked = list(passes)
    select.gpu_engine(weights, 7, 6, DEVICE)

    assert checked == [(3, 5), (3, 1), (7, 6), (7, 1), (7, 1), (7, 1), (7, 2)]
    assert passes == checked


@pytest.mark.parametrize("fault", ["wrong bits", "wrong bits of an encoder", "an error"])
def test_kernels_that_fail_their_check_are_not_used(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(q: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
        if fault == "an error":
            raise RuntimeError("ptxas died")
        matmul.float_product(q, weight, out)
        out += 1 << 8

    def is_right(rows: int) -> bool:
        return fault == "wrong bits of an encoder" and rows <= 3 * 5

    monkeypatch.setattr(
        "lmcompress.gpt.cuda.engine.product_for",
        lambda rows, *_: matmul.float_product if is_right(rows) else faulty,
    )
    with caplog.at_level(logging.WARNING, "lmcompress"):
        engine = select.gpu_engine(odd_weights(), 7, 3, DEVICE)

    assert isinstance(engine, TorchEngine)
    assert ("ptxas died" if fault == "an error" else "other bits") in caplog.text


def test_lanes_that_are_mixed_up_fail_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    predict = CudaEngine.predict

    def shifted(engine: CudaEngine, tokens: np.ndarray) -> np.ndarray:
        freqs = predict(engine, tokens)
        return np.roll(freqs, 4, axis=1) if freqs.shape[1] == 8 else freqs

    monkeypatch.setattr(CudaEngine, "predict", shifted)

    assert isinstance(select.gpu_engine(odd_weights(), 8, 1, DEVICE), TorchEngine)


def test_a_gpu_that_an_error_has_ended_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nMore of it.")

    monkeypatch.setattr(select, "gpu_model", lambda *_: (None, "the kernels fail"))
    monkeypatch.setattr(torch, "ones", ended)

    with pytest.raises(LmcompressError, match=r"illegal memory.*use --device cpu.*same bits$"):
        select.gpu_engine(random_weights("llama"), 1, 1, DEVICE)


def test_a_model_that_does_not_fit_is_no_fault_of_the_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(select, "_is_right", full)

    with pytest.raises(torch.OutOfMemoryError):
        select.gpu_engine(random_weights("llama"), 1, 1, DEVICE)


def test_segments_side_by_side_have_the_bytes_of_one_after_the_other(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny_model.weights is not None
    model = CudaModel(tiny_model.weights, DEVICE)
    monkeypatch.setattr("lmcompress.codec.session.has_gpu", lambda: True)
    monkeypatch.setattr(select, "gpu_engine", lambda _, *sizes: CudaEngine(model, *sizes[:2]))
    raw = b"It was the best of times, it was the worst of times; the age of wisdom. " * 2
    config = CodecConfig(lanes=4, segment_bytes=40, threads=3, device="cuda")

    frame = lmcompress.compress(raw, tiny_model, config)

    one_by_one = dataclasses.replace(config, threads=1, device="cpu")
    assert frame == lmcompress.compress(raw, tiny_model, one_by_one)


def test_the_predictor_takes_the_gpus_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, asked = random_weights("default-like"), []
    engine = TorchEngine(weights, "cpu")
    monkeypatch.setattr(select, "gpu_engine", lambda *args: asked.append(args) or engine)

    predictor = new_predictor(weights, 3, 5, ContextPolicy(), "cuda")

    assert isinstance(predictor, GPTPredictor)
    assert asked == [(weights, 3, 5, "cuda")]


def test_the_reference_reads_long_blocks_in_parts() -> None:
    weights, tokens = random_weights("gpt-3"), random_tokens(2)
    logits, expected_logits = (np.zeros((40, 2, 256), np.float32) for _ in range(2))
    expected = TorchEngine(weights, "cpu").predict(tokens, expected_logits)

    found = TorchEngine(weights, "cpu", 7).predict(tokens, logits)

    assert np.array_equal(found, expected)
    assert np.array_equal(logits, expected_logits)


def test_a_check_reads_no_position_that_there_is_not() -> None:
    weights = random_weights("gpt-2")
    config = dataclasses.replace(weights.config, context_length=6)
    arrays = {k: v[:6] if k.startswith("position") else v for k, v in weights.arrays.items()}

    model, reason = select.gpu_model(ExactWeights(config, arrays), DEVICE)

    assert model is not None, reason
