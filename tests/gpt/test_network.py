"""The float network, its configuration, and what quantization costs."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT, _banded_attention
from tests.support.exactness import CONFIGS, SIZES, random_tokens, random_weights


@pytest.mark.parametrize("name", CONFIGS)
def test_parameter_count_is_that_of_the_network(name: str) -> None:
    config = GPTConfig(**{**SIZES, **CONFIGS[name]})

    network = GPT(config)

    assert sum(p.numel() for p in network.parameters()) == config.num_parameters


def test_gpt_2_small_has_124_million_parameters() -> None:
    config = GPTConfig(
        vocab_size=50257, n_layer=12, n_head=12, n_embd=768, context_length=1024,
        norm="layernorm", positions="learned", bias=True, tied=True,
    )  # fmt: skip

    assert config.num_parameters == 124_439_808  # Radford et al. (2019), as released


@pytest.mark.parametrize(("length", "window"), [(40, 8), (41, 8), (16, 16), (5, 4)])
def test_banded_attention_equals_masked_attention(length: int, window: int) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, length, 16)
    distance = torch.arange(length)[:, None] - torch.arange(length)
    mask = (distance >= 0) & (distance < window)

    found = _banded_attention(q, k, v, window)

    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"norm": "batchnorm"}, "expected one of layernorm, rmsnorm"),
        ({"n_embd": 65}, "not a multiple of n_head"),
        ({"n_kv_head": 3}, "not a multiple of n_kv_head"),
        ({"attention_windows": (8,)}, "1 entries for 4 layers"),
        ({"rotary_period": 100}, "twice the context length"),
        ({"rotary_period": 2050}, "not a multiple of 4"),
        ({"rotary_period": 2048, "positions": "learned"}, "positions are learned"),
        ({"norm_eps": -1e-5}, "norm_eps is -1e-05"),
        ({"norm_eps": float("nan")}, "norm_eps is nan"),
        ({"mlp_hidden": -4}, "mlp_hidden is -4"),
        ({"head_dim": -2}, "head_dim is -2"),
        ({"bos_id": 256}, "not below vocab_size"),
        ({"activation_bits": 17}, "activation_bits is 17, expected 8 to 16"),
        ({"rotary_dim": 3}, "3 rotated channels"),
        ({"rotary_dim": 128}, "not in 0..head_dim 64"),
        ({"rotary_dim": 8, "positions": "learned"}, "positions are learned"),
        ({"parallel_residual": True, "norm_position": "post"}, "needs norm_position pre"),
        ({"qk_norm_gain": True}, "without qk_norm"),
        ({"ngram_orders": (3, 2), "ngram_bits": 8}, r"must ascend within 2..16"),
        ({"ngram_orders": (1, 2), "ngram_bits": 8}, r"must ascend within 2..16"),
        ({"ngram_orders": (2, 3, 4), "ngram_bits": 8}, "not a multiple of 3 ngram_orders"),
        ({"ngram_orders": (2, 3)}, "ngram_bits is 0, expected 1 to 24"),
        ({"ngram_orders": (2.5, 4), "ngram_bits": 8}, "must be integers"),
        ({"ngram_orders": (2, 4), "ngram_bits": True}, "must be integers"),
        ({"ngram_bits": 8}, "ngram_bits is 8, expected 1 to 24, and 0 without"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GPTConfig(**values)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ValueError, match="n_layers"):
        GPTConfig.from_dict({"n_layers": 3})


def test_configuration_survives_its_dictionary() -> None:
    config = GPTConfig(
        attention_windows=(8, 0, 8, 16), context_length=64, ngram_orders=(2, 4), ngram_bits=3
    )

    assert GPTConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_fingerprints_outlive_a_version_of_the_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    before = random_weights("gpt-1").fingerprint
    monkeypatch.setattr("lmcompress.gpt.quantization.ARITHMETIC_VERSION", 2)

    assert random_weights("gpt-1").fingerprint == before


def test_fingerprint_changes_with_one_weight_and_one_option() -> None:
    first, second = random_weights("paper"), random_weights("paper")
    assert first.fingerprint == second.fingerprint

    second.arrays["blocks.0.up.q"][0, 0] ^= 1

    assert first.fingerprint != second.fingerprint
    assert first.fingerprint != random_weights("gpt-2").fingerprint


def test_exact_and_float_network_predict_alike() -> None:
    torch.manual_seed(0)
    from lmcompress.gpt.quantization import quantize_network
    from lmcompress.gpt.reference import ExactGPT

    network = GPT(GPTConfig(**{**SIZES, **CONFIGS["default-like"]}))
    tokens = torch.from_numpy(random_tokens(2))

    probs = torch.softmax(network(tokens).double(), -1)
    freqs = (1 + ExactGPT(quantize_network(network)).frequencies(tokens)).double() / 2**24

    assert (probs * (probs / freqs).log2()).sum(-1).mean() < 1e-3
