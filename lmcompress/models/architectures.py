"""Maps published checkpoints to our network: their options and tensors under our names.

An architecture reads what its `config.json` says, in the terms of the `transformers` library, and
hands out the tensors that `network.GPT` has, one at a time. What it cannot evaluate faithfully (a
scaled rotary base, another activation, sliding windows) it refuses by name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lmcompress.errors import UnsupportedModelError
from lmcompress.gpt.config import GPTConfig

Values = Mapping[str, Any]
"""A checkpoint's `config.json`."""
Get = Callable[[str], Tensor]
"""Returns a checkpoint's tensor, float32, by its published name."""
Named = Iterator[tuple[str, Tensor]]

_GELU = {name: "gelu" for name in ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")}
_GELU["gelu"] = "gelu_erf"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """How one family of checkpoints becomes ours."""

    options: Callable[[Values], dict[str, Any]]
    """Options of `GPTConfig`, without context length and first token."""
    tensors: Callable[[GPTConfig, Get], Named]
    """Yields (name in `GPT.state_dict()`, tensor)."""
    positions: str = "max_position_embeddings"
    """Where the configuration holds the longest context."""


def architecture(values: Values) -> Architecture:
    """Returns the architecture that a configuration names.

    Raises:
      UnsupportedModelError: If it is not one of those that we evaluate.
    """
    found = values.get("model_type")
    if found not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"the checkpoint's architecture is {found}, expected one of {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[found]


def gpt_config(values: Values, **overrides: Any) -> GPTConfig:
    """Returns the configuration of a checkpoint.

    Args:
      values: Its `config.json`.
      overrides: Options of ours; `context_length` may only shorten that of the checkpoint.

    Raises:
      UnsupportedModelError: If an option is missing or cannot be evaluated.
    """
    family = architecture(values)
    try:
        longest = int(values[family.positions])
        options = family.options(values) | overrides
        options["context_length"] = min(longest, overrides.get("context_length", longest))
        return GPTConfig(bos_id=_first_token(values), **options)
    except KeyError as exc:
        raise UnsupportedModelError(
            f"the checkpoint's config.json lacks {exc.args[0]}: download it again"
        ) from exc
    except (ValueError, TypeError) as exc:
        raise UnsupportedModelError(
            f"the checkpoint's configuration cannot be used: {exc}"
        ) from exc


def _first_token(values: Values) -> int:
    """Returns the token that opens a text: the BOS token if there is one, else the EOS token."""
    for key in ("bos_token_id", "eos_token_id"):
        found = values.get(key)
        found = found[0] if isinstance(found, list) and found else found
        if isinstance(found, int) and 0 <= found < values["vocab_size"]:
            return found
    return 0


def _require(values: Values, **expected: Any) -> None:
    for key, value in expected.items():
        if (found := values.get(key, value)) != value:
            raise UnsupportedModelError(
                f"the checkpoint's {key} is {found}, expected {value}: it cannot be evaluated here"
            )


def _activation(name: str) -> str:
    if name not in _GELU:
        raise UnsupportedModelError(
            f"the checkpoint's activation is {name}, expected one of {', '.join(_GELU)}"
        )
    return _GELU[name]


def _rotary(values: Values, fraction: float) -> tuple[float, float]:
    """Returns (base, rotated fraction of a head); newer and older files store it differently."""
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise UnsupportedModelError(
            f"the checkpoint's rotary positions are of type {kind}, expected default"
        )
    known = {"rope_theta": values.get("rotary_emb_base", 10000.0), **values, **rope}
    base = float(known["rope_theta"])
    if not 1 <= base < math.inf:  # the tables' series converges for angles up to 1
        raise UnsupportedModelError(f"the base of rotary positions is {base}, expected 1 or more")
    fraction = values.get("rotary_pct", fraction)
    return base, rope.get("partial_rotary_factor", fraction)


def _llama_options(values: Values) -> dict[str, Any]:
    _require(
        values, hidden_act="silu", mlp_bias=False, attention_bias=False, use_sliding_window=False
    )
    base, fraction = _rotary(values, fraction=1.0)
    if fraction != 1:
        raise UnsupportedModelError(f"{fraction} of a head is rotated, expected all of it")
    return {
        "vocab_size": values["vocab_size"],
        "n_layer": values["num_hidden_layers"],
        "n_head": values["num_attention_heads"],
        "n_kv_head": values.get("num_key_value_heads") or 0,
        "n_embd": values["hidden_size"],
        "head_dim": values.get("head_dim") or 0,
        "mlp_hidden": values["intermediate_size"],
        "norm": "rmsnorm",
        "norm_eps": values["rms_norm_eps"],
        "rotary_base": base,
        "activation": "swiglu",
        "tied": values.get("tie_word_embeddings", False),
    }


def _qwen2_options(values: Values) -> dict[str, Any]:
    return _llama_options(values) | {"qkv_bias": True}


def _qwen3_options(values: Values) -> dict[str, Any]:
    return _llama_options(values) | {"qk_norm": True, "qk_norm_gain": True}


def _llama_tensors(config: GPTConfig, get: Get) -> Named:
    yield "token_embedding.weight", get("model.embed_tokens.weight")
    for i in range(config.n_layer):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        heads = [f"{theirs}.self_attn.{name}_proj" for name in "qkv"]
        for kind in ("weight", "bias") if config.qkv_bias else ("weight",):
            yield f"{ours}.attention.qkv.{kind}", torch.cat([get(f"{h}.{kind}") for h in heads])
        if config.qk_norm_gain:
            for name in ("q_norm", "k_norm"):
                yield f"{ours}.attention.{name}.weight", get(f"{theirs}.self_attn.{name}.weight")
        yield f"{ours}.attention.proj.weight", get(f"{theirs}.self_attn.o_proj.weight")
        up = [get(f"{theirs}.mlp.{name}_proj.weight") for name in ("gate", "up")]
        yield f"{ours}.mlp.up.weight", torch.cat(up)
        yield f"{ours}.mlp.down.weight", get(f"{theirs}.mlp.down_proj.weight")
        yield f"{ours}.norm_1.weight", get(f"{theirs}.input_layernorm.weight")
        yield f"{ours}.norm_2.weight", get(f"{theirs}.post_attention_layernorm.weight")
    yield "final_norm.weight", get("model.norm.weight")
    if not config.tied:
        yield "output.weight", get("lm_head.weight")


def _gpt2_options(values: Values) -> dict[str, Any]:
    _require(values, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False)
    return {
        "vocab_size": values["vocab_size"],
        "n_layer": values["n_layer"],
        "n_head": values["n_head"],
        "n_embd": values["n_embd"],
        "mlp_hidden": values.get("n_inner") or 0,
        "norm": "layernorm",
        "norm_eps": values["layer_norm_epsilon"],
        "positions": "learned",
        "activation": _activation(values.get("activation_function", "gelu_new")),
        "bias": True,
        "tied": values.get("tie_word_embeddings", True),
    }


def _gpt2_tensors(config: GPTConfig, get: Get) -> Named:
    yield "token_embedding.weight", get("transformer.wte.weight")
    positions = get("transformer.wpe.weight")
    yield "position_embedding.weight", positions[: config.context_length]
    parts = {
        "norm_1": "ln_1",
        "norm_2": "ln_2",
        "attention.qkv": "attn.c_attn",
        "attention.proj": "attn.c_proj",
        "mlp.up": "mlp.c_fc",
        "mlp.down": "mlp.c_proj",
    }
    for i in range(config.n_layer):
        for ours, theirs in parts.items():
            weight = get(f"transformer.h.{i}.{theirs}.weight")
            if weight.ndim == 2:  # GPT-2 stores its matrices as (in, out)
                weight = weight.T.contiguous()
            yield f"blocks.{i}.{ours}.weight", weight
            yield f"blocks.{i}.{ours}.bias", get(f"transformer.h.{i}.{theirs}.bias")
    for kind in ("weight", "bias"):
        yield f"final_norm.{kind}", get(f"transformer.ln_f.{kind}")
    if not config.tied:
        yield "output.weight", get("lm_head.weight")


def _neox_options(values: Values) -> dict[str, Any]:
    _require(values, attention_bias=True)
    base, fraction = _rotary(values, fraction=0.25)
    head_dim = values["hidden_size"] // values["num_attention_heads"]
    rotary_dim = int(head_dim * fraction)
    return {
        "vocab_size": values["vocab_size"],
        "n_layer": values["num_hidden_layers"],
        "n_head": values["num_attention_heads"],
        "n_embd": values["hidden_size"],
        "mlp_hidden": values["intermediate_size"],
        "norm": "layernorm",
        "norm_eps": values.get("layer_norm_eps", 1e-5),
        "parallel_residual": values.get("use_parallel_residual", True),
        "rotary_base": base,
        "rotary_dim": 0 if rotary_dim == head_dim else rotary_dim,
        "activation": _activation(values.get("hidden_act", "gelu")),
        "bias": True,
        "tied": values.get("tie_word_embeddings", False),
    }


def _neox_tensors(config: GPTConfig, get: Get) -> Named:
    yield "token_embedding.weight", get("gpt_neox.embed_in.weight")
    parts = {
        "norm_1": "input_layernorm",
        "norm_2": "post_attention_layernorm",
        "attention.proj": "attention.dense",
        "mlp.up": "mlp.dense_h_to_4h",
        "mlp.down": "mlp.dense_4h_to_h",
    }
    for i in range(config.n_layer):
        block = f"gpt_neox.layers.{i}"
        for kind in ("weight", "bias"):
            # Rows lie head by head, each head's query, key and value together.
            qkv = get(f"{block}.attention.query_key_value.{kind}")
            by_head = qkv.view(config.n_head, 3, config.head_dim, -1).transpose(0, 1)
            yield f"blocks.{i}.attention.qkv.{kind}", by_head.reshape(qkv.shape)
            for ours, theirs in parts.items():
                yield f"blocks.{i}.{ours}.{kind}", get(f"{block}.{theirs}.{kind}")
    for kind in ("weight", "bias"):
        yield f"final_norm.{kind}", get(f"gpt_neox.final_layer_norm.{kind}")
    if not config.tied:
        yield "output.weight", get("embed_out.weight")


ARCHITECTURES = {
    "llama": Architecture(_llama_options, _llama_tensors),
    "qwen2": Architecture(_qwen2_options, _llama_tensors),
    "qwen3": Architecture(_qwen3_options, _llama_tensors),
    "gpt2": Architecture(_gpt2_options, _gpt2_tensors, positions="n_positions"),
    "gpt_neox": Architecture(_neox_options, _neox_tensors),
}
