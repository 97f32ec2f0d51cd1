"""Small models to damage, made once in a temporary folder: exact, float, published, GGUF."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import shutil
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import quantize_network
from lmcompress.models.checkpoint import save_exact_checkpoint, save_float_checkpoint
from lmcompress.tokenizer.vocabulary import byte_letters
from tests.fuzz.seeds import frame_seeds

_CONFIG = GPTConfig(
    n_layer=1, n_embd=16, n_head=2, context_length=16, attention_windows=(8,), rotary_period=64,
    norm="layernorm", bias=True, activation="swiglu", qk_norm=True, qk_norm_gain=True,
)  # fmt: skip
_VOCAB = 300
_SHAPES = {
    "model.embed_tokens": (_VOCAB, 32), "model.norm": (32,), "lm_head": (_VOCAB, 32),
    **{
        f"model.layers.{i}.{name}": shape
        for i in range(2)
        for name, shape in {
            "input_layernorm": (32,), "post_attention_layernorm": (32,),
            "self_attn.q_proj": (32, 32), "self_attn.k_proj": (16, 32),
            "self_attn.v_proj": (16, 32), "self_attn.o_proj": (32, 32),
            "mlp.gate_proj": (48, 32), "mlp.up_proj": (48, 32), "mlp.down_proj": (32, 48),
        }.items()
    },
}  # fmt: skip
_LLAMA = {
    "model_type": "llama", "vocab_size": _VOCAB, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
    "bos_token_id": 0, "eos_token_id": [1, 2], "tie_word_embeddings": False,
}  # fmt: skip


@functools.cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="lmcompress-fuzz-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


@functools.cache
def exact_model() -> Path:
    """Returns the folder of a model of one layer that streams."""
    torch.manual_seed(1)
    folder = _root() / "exact"
    card = {"name": "exact", "trained_on": ["text"]}
    save_exact_checkpoint(quantize_network(GPT(_CONFIG)), card, folder)
    return folder


@functools.cache
def float_model() -> Path:
    """Returns the folder of a checkpoint such as training writes."""
    torch.manual_seed(1)
    config = dataclasses.replace(_CONFIG, tied=True, positions="learned", rotary_period=0)
    save_float_checkpoint(GPT(config), {"trained_on": []}, _root() / "float")
    return _root() / "float"


def _llama_tensors() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    return {
        f"{name}.weight": torch.randn(shape, generator=generator) / 8
        for name, shape in _SHAPES.items()
    }


@functools.cache
def llama_model() -> Path:
    """Returns a folder as `transformers` writes it, with a tokenizer of bytes and two merges."""
    folder = _root() / "llama"
    folder.mkdir()
    save_file(_llama_tensors(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(_LLAMA))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer()))
    return folder


def _tokenizer() -> dict[str, Any]:
    words = [*sorted(byte_letters()), "th", "the", *(f"unused{i}" for i in range(41))]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    end = {"id": 299, "content": "<|endoftext|>", "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "added_tokens": [end | flags],
        "pre_tokenizer": level | {"use_regex": True},
        "decoder": level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {word: i for i, word in enumerate(words)},
            "merges": [["t", "h"], ["th", "e"]],
        },
    }


def gguf_file() -> bytes:
    """Returns the same network as a GGUF file."""
    from tests.support.gguf_files import write_gguf

    write_gguf(types.SimpleNamespace(state_dict=_llama_tensors), _root() / "seed.gguf")  # type: ignore[arg-type]
    return (_root() / "seed.gguf").read_bytes()


@functools.cache
def frame_path() -> Path:
    """Returns a file that a small model made."""
    path = _root() / "seed.lmc"
    path.write_bytes(frame_seeds()["coded"][1].data)
    return path
