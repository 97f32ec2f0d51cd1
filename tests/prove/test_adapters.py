"""Models become predictors: ours, those of transformers, and any forward(ids) -> logits."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from lmcompress import CodecConfig
from lmcompress.benchmark.float_scoring import scored_windows
from lmcompress.codec.scoring import score
from lmcompress.errors import NotProvenError
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.models.checkpoint import save_float_checkpoint
from lmcompress.models.store import Model
from lmcompress.prove.adapters import codec, exact, forward
from lmcompress.prove.certificate import to_json
from lmcompress.prove.checking import check
from lmcompress.prove.proving import prove
from tests.support.predictors import SETTINGS, TEXT
from tests.support.token_model import tokenizer_json

EXAMPLES = Path(__file__).parents[2] / "examples" / "prove"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    return path


def test_a_model_of_ours_is_proven_at_its_score(tiny_model: Model, text: Path) -> None:
    """By the codec's own way of scoring: many steps in one pass."""
    scored = score(TEXT, tiny_model, CodecConfig(lanes=1, adaptive=False))

    found = prove("tiny", text, SETTINGS, adaptive=False)

    assert found.ideal_bits_per_byte == pytest.approx(
        scored.quantized_code_length_bits / len(TEXT), rel=1e-12
    )
    assert {file.path for file in found.files} == {
        "model.json", "model.safetensors", "predictor.py",
    }  # fmt: skip
    assert found.model_bytes > tiny_model.model_bytes


@pytest.mark.slow
def test_a_certificate_of_a_model_names_it_and_is_checked(
    tiny_model: Model, text: Path, tmp_path: Path
) -> None:
    proof = tmp_path / "proof.json"
    proof.write_bytes(to_json(prove("tiny", text, SETTINGS)))
    text.unlink()

    assert check(proof, SETTINGS).certificate.predictor == "tiny"
    assert check(proof, SETTINGS, str(tiny_model.folder)).proven_again is None


@pytest.mark.slow
def test_a_model_of_tokens_is_proven(token_model: Model, text: Path) -> None:
    found = prove(str(token_model.folder), text, SETTINGS, adaptive=False)

    assert found.num_symbols < len(TEXT)
    assert found.vocab_size == len(token_model.tokens.spellings)  # type: ignore[union-attr]
    assert "tokenizer.json" not in {file.path for file in found.files}  # the decoder needs none


@pytest.mark.parametrize("adapter", [codec, exact])
def test_who_checks_a_certificate_needs_no_tokenizer(
    adapter: ModuleType, token_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    adapter.compile_kernels(token_model.folder)


@pytest.mark.slow
def test_a_float_checkpoint_is_proven(tmp_path: Path, text: Path) -> None:
    torch.manual_seed(1)
    config = GPTConfig(n_layer=1, n_embd=32, n_head=2, context_length=512)
    save_float_checkpoint(GPT(config), {"name": "floats"}, tmp_path / "floats")

    found = prove(str(tmp_path / "floats"), text, SETTINGS)

    assert found.score is not None  # its passes over blocks agree with its single steps
    assert found.score["largest_gap_bits"] < 1e-3
    assert found.bits_per_byte == pytest.approx(found.ideal_bits_per_byte, abs=0.1)


def test_a_float_checkpoint_of_tokens_is_refused_in_one_line(tmp_path: Path, text: Path) -> None:
    config = GPTConfig(vocab_size=300, n_layer=1, n_embd=32, n_head=2, context_length=512)
    save_float_checkpoint(GPT(config), {"name": "floats"}, tmp_path / "floats")

    with pytest.raises(NotProvenError, match="a float checkpoint of 300 tokens cannot be proven"):
        prove(str(tmp_path / "floats"), text, SETTINGS)


def test_windows_are_those_of_scoring_in_floating_point() -> None:
    for window, stride, count in itertools.product((4, 7), (1, 3, 4), (1, 5, 30)):
        whole = count - (count - window) % stride if count > window else count
        expected = {
            place: context
            for context, start, stop in scored_windows(whole, window, stride)
            for place in range(start, stop)
        }
        assert {place: forward._context_of(place, window, stride) for place in expected} == expected


class Echo(forward.ForwardPredictor):
    """Logits that depend on all ids of the pass, so that a wrong context shows."""

    symbols, window, stride = [bytes([value]) for value in range(5)], 6, 4

    def load(self) -> forward.Forward:
        def network(ids: torch.Tensor) -> torch.Tensor:
            seen = torch.nn.functional.one_hot(ids, 5).double().cumsum(1)
            return seen * torch.arange(1, ids.shape[1] + 1)[None, :, None]

        return network


@pytest.mark.parametrize("first", [None, 2])
def test_passes_over_windows_give_the_rows_of_single_steps(first: int | None) -> None:
    symbols = np.random.default_rng(1).integers(0, 5, 40).tolist()
    predictor = Echo()
    predictor.first = first
    predictor.reset()
    steps = []
    for symbol in symbols:
        steps.append(predictor.probabilities())
        predictor.push(symbol)

    assert np.array_equal(np.array(list(predictor.score(symbols))), np.array(steps))


@pytest.mark.parametrize("name", ["ngram", "forward"])
def test_examples_are_proven(name: str, text: Path) -> None:
    found = prove(str(EXAMPLES / f"{name}.py"), text, SETTINGS)

    assert found.bits_per_byte < 8.3
    assert [file.path for file in found.files] == [f"{name}.py"]


@pytest.mark.slow
def test_a_model_of_the_hub_is_proven(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its context fills up several times, and the cache begins again."""
    transformers = pytest.importorskip("transformers")
    hub = pytest.importorskip("huggingface_hub")
    folder = tmp_path / "llama"
    tokenizer = tokenizer_json()
    (folder).mkdir()
    (folder / "tokenizer.json").write_text(tokenizer, "utf-8")
    config = transformers.AutoConfig.for_model(
        "llama", vocab_size=600, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=24, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(1)
    network = transformers.AutoModelForCausalLM.from_config(config)
    network.save_pretrained(folder)

    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(folder))

    found = prove("hf:owner/llama", text, SETTINGS)

    assert found.predictor == "hf:owner/llama"
    assert found.num_symbols > 2 * 24
    assert found.vocab_size == 600 + 256
    assert found.packages["transformers"] == transformers.__version__
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= {
        file.path for file in found.files
    }
    assert found.ideal_bits_per_byte is not None
    assert found.bits_per_byte == pytest.approx(found.ideal_bits_per_byte, rel=0.02)
