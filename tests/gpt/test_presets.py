"""The presets have the sizes and costs that their papers print."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from lmcompress.errors import ModelNotFoundError
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.presets import PRESETS, PRINTED_PARAMETERS, describe_preset, preset
from lmcompress.training.config import TrainConfig
from tests.support.command_line import Run, assert_one_line_error

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
GPT2_COUNTED = {
    "gpt2-small": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
}
"""Of the released weights, output layer tied."""
GPT3 = [name for name in PRESETS if name.startswith("gpt3")]
GPT3_MILLIONS = {
    "gpt3-125m": 125, "gpt3-350m": 356, "gpt3-760m": 760, "gpt3-1.3b": 1320,
    "gpt3-2.7b": 2650, "gpt3-6.7b": 6660, "gpt3-13b": 12850, "gpt3-175b": 174600,
}  # fmt: skip
"""Published: Brown et al. (2020), table D.1, with more digits than table 2.1."""
GPT3_TRAINING_FLOPS = {
    "gpt3-125m": 2.25e20, "gpt3-350m": 6.41e20, "gpt3-760m": 1.37e21, "gpt3-1.3b": 2.38e21,
    "gpt3-2.7b": 4.77e21, "gpt3-6.7b": 1.20e22, "gpt3-13b": 2.31e22, "gpt3-175b": 3.14e23,
}  # fmt: skip
"""Published: Brown et al. (2020), appendix D, for 300 billion tokens, attention left out."""


def test_gpt1_has_the_parameters_of_the_released_weights() -> None:
    assert preset("gpt1").num_parameters == 116_534_784


@pytest.mark.parametrize("name", GPT2_COUNTED)
def test_gpt2_has_the_parameters_of_the_released_weights(name: str) -> None:
    assert preset(name).num_parameters == GPT2_COUNTED[name]


@pytest.mark.parametrize("name", GPT2_COUNTED)
def test_gpt2s_printed_sizes_are_misprints(name: str) -> None:
    assert 1.01 < GPT2_COUNTED[name] / PRINTED_PARAMETERS[name] < 1.07


@pytest.mark.parametrize("name", GPT3)
def test_gpt3_has_the_parameters_of_table_2_1_within_two_percent(name: str) -> None:
    assert preset(name).num_parameters == pytest.approx(PRINTED_PARAMETERS[name], rel=0.02)


@pytest.mark.parametrize("name", GPT3)
def test_gpt3_has_the_parameters_of_table_d_1_to_its_last_digit(name: str) -> None:
    assert preset(name).num_parameters / 1e6 == pytest.approx(GPT3_MILLIONS[name], rel=0.004)


@pytest.mark.parametrize("name", GPT3)
def test_gpt3s_products_cost_what_appendix_d_says(name: str) -> None:
    config = preset(name)
    keys = sum(window or config.context_length for window in config.attention_windows)
    products = config.flops_per_token - 4 * keys * config.n_embd

    forward_and_backward = 3 * products * 300e9
    assert forward_and_backward == pytest.approx(GPT3_TRAINING_FLOPS[name], rel=0.035)


def test_gpt3_alternates_dense_and_banded_layers() -> None:
    windows = preset("gpt3-175b").attention_windows

    assert windows == (0, 256) * 48


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("deletang-200k", "ladder-200k"),
        ("deletang-800k", "ladder-800k"),
        ("deletang-3.2m", "ladder-3200k"),
    ],
)
def test_the_ladder_trains_the_papers_transformers(name: str, recipe: str) -> None:
    assert TrainConfig.from_toml(CONFIGS / f"{recipe}.toml").model == preset(name)


@pytest.mark.parametrize("name", [n for n in PRESETS if n.startswith("deletang")])
def test_the_papers_sizes_are_those_of_the_blocks(name: str) -> None:
    parts = preset(name).num_parameters_by_part

    blocks = parts["attention"] + parts["mlp"]
    assert blocks == pytest.approx(PRINTED_PARAMETERS[name], rel=0.02)


@pytest.mark.parametrize("name", ["gpt1", "gpt2-xl", "gpt3-175b", "deletang-200k"])
def test_a_network_of_the_presets_kind_has_the_parameters_counted(name: str) -> None:
    config = preset(name)
    small = dataclasses.replace(
        config, n_layer=2, n_embd=32, n_head=2, n_kv_head=0, head_dim=0, mlp_hidden=0,
        vocab_size=300, context_length=64, attention_windows=(0, 8),
    )  # fmt: skip

    assert sum(p.numel() for p in GPT(small).parameters()) == small.num_parameters


def test_bytes_per_token_divide_the_cost_of_a_byte() -> None:
    found = describe_preset("gpt3-175b", bpe_bytes_per_token=3.5)

    assert found["flops_per_byte"] == found["flops_per_token"] / 3.5
    assert describe_preset("deletang-200k", 3.5)["bytes_per_token"] == 1


def test_unknown_preset_names_the_nearest_and_the_known() -> None:
    with pytest.raises(ModelNotFoundError, match=r"did you mean gpt3-175b\?.*known are gpt1, gpt2"):
        preset("GPT3-175")


@pytest.mark.parametrize(
    ("recipe", "beside"),
    [("arch-gpt1", "arch-gpt2-slow"), ("arch-gpt2", "arch-gpt2"), ("arch-gpt3", "arch-gpt2")],
)
def test_side_by_side_recipes_differ_in_the_architecture_only(recipe: str, beside: str) -> None:
    config = TrainConfig.from_toml(CONFIGS / f"{recipe}.toml")
    reference = TrainConfig.from_toml(CONFIGS / f"{beside}.toml")

    same = dataclasses.replace(config, name="", model=GPTConfig())
    assert same == dataclasses.replace(reference, name="", model=GPTConfig())
    pattern = {"arch-gpt1": "gpt1", "arch-gpt2": "gpt2-small", "arch-gpt3": "gpt3-125m"}[recipe]
    for field in ("norm", "norm_position", "positions", "activation", "bias", "tied"):
        assert getattr(config.model, field) == getattr(preset(pattern), field)
    kinds = [bool(window) for window in preset(pattern).attention_windows[:4]]
    assert [bool(window) for window in config.model.attention_windows] == kinds


def test_gpt2s_two_recipes_differ_in_the_rate_only() -> None:
    slow, fast = (
        TrainConfig.from_toml(CONFIGS / f"{n}.toml") for n in ("arch-gpt2-slow", "arch-gpt2")
    )

    assert slow.learning_rate < fast.learning_rate
    assert dataclasses.replace(slow, name="", learning_rate=1.0) == dataclasses.replace(
        fast, name="", learning_rate=1.0
    )


def test_command_tells_parameters_by_part_and_flops(run: Run) -> None:
    told = run("models", "--preset", "gpt3-175b")
    as_json = json.loads(run("models", "--preset", "gpt3-175b", "--json").stdout)

    assert told.code == 0
    assert b"174,604,259,328" in told.stdout
    assert b"assuming 4 bytes per token" in told.stdout
    assert sum(as_json["num_parameters_by_part"].values()) == as_json["num_parameters"]


def test_command_names_the_known_presets(run: Run) -> None:
    result = run("models", "--preset", "gpt2")

    assert_one_line_error(result, "did you mean gpt2-small or gpt2-medium", "known are gpt1")
