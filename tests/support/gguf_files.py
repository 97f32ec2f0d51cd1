"""Small GGUF files as llama.cpp's converter writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

gguf = pytest.importorskip("gguf")
tokenizers = pytest.importorskip("tokenizers")

_PARTS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers": "blk",
}


def _permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to the rows that are rotated."""
    return rows.reshape(heads, 2, -1, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape)


def write_gguf(network: torch.nn.Module, path: Path, architecture: str = "llama") -> None:
    """Writes a small Llama as llama.cpp's converter lays it out."""
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(100000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = ["<|end|>", *alphabet, "th", "the", *(f"unused{i}" for i in range(41))]
    writer.add_token_list(words)
    writer.add_token_types([3, *[1] * 299])
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(0)
    for name, tensor in network.state_dict().items():
        array = tensor.numpy()
        if ".q_proj" in name or ".k_proj" in name:
            array = _permuted(array, 4 if ".q_proj" in name else 2)
        for theirs, part in _PARTS.items():
            name = name.replace(theirs + ".", part + ".")
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
