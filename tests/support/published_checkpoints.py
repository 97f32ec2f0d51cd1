"""Small random checkpoints in the formats that others publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers")

_SHAPE = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
_GROUPED = {**_SHAPE, "num_key_value_heads": 2}
_GPT2 = {
    "vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
    "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
CHECKPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt-2": ("gpt2", _GPT2),
    "gpt-neox": ("gpt_neox", _SHAPE),
    "gpt-neox-sequential": ("gpt_neox", {**_SHAPE, "use_parallel_residual": False}),
    "llama": ("llama", {**_GROUPED, "rope_theta": 100000.0}),
    "llama-tied": ("llama", {**_GROUPED, "tie_word_embeddings": True}),
    "qwen-2": ("qwen2", _GROUPED),
    "qwen-3": ("qwen3", {**_GROUPED, "head_dim": 16}),
}


def checkpoint(name: str, folder: Path) -> Any:
    """Saves a random checkpoint with what a tokenizer may be; returns its network."""
    kind, options = CHECKPOINTS[name]
    torch.manual_seed(len(name))
    config = transformers.AutoConfig.for_model(kind, **options)
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # biases and gains are more than zeros and ones
            parameter.add_(0.1 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return network


def tokens() -> torch.Tensor:
    return torch.randint(0, 300, (2, 40), generator=torch.Generator().manual_seed(1))
