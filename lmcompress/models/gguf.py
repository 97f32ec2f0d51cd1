"""GGUF files (llama.cpp's format) in the terms of the `transformers` library.

Tensors of any type that the `gguf` package knows are brought back to float32. The tokenizer's parts
become the text of a `tokenizer.json`.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcompress.errors import ModelNotFoundError, UnsupportedModelError
from lmcompress.system.extras import needs_extra

_ARCHITECTURES = ("llama", "qwen2", "qwen3")
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_CONTROL = 3
"""Type of the tokens that cannot occur in a text."""
_BY_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(parts)}


def _split(digits: str) -> dict[str, Any]:
    pattern = {"Regex": _BY_WORDS % digits}
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


_PRE_TOKENIZERS = {
    "gpt-2": _byte_level(True),
    "smollm": _sequence({"type": "Digits", "individual_digits": True}, _byte_level(True)),
    "llama-bpe": _sequence(_split("{1,3}"), _byte_level(False)),
    "qwen2": _sequence(_split(""), _byte_level(False)),
}


class GgufFile:
    """An open GGUF file.

    Raises:
      MissingDependencyError: Without the `gguf` package.
      ModelNotFoundError: If the file is damaged or ends early.
      UnsupportedModelError: If its architecture or tokenizer is not one that we evaluate.
    """

    def __init__(self, path: Path) -> None:
        with needs_extra("pretrained", str(path), "gguf"):
            self._gguf: Any = importlib.import_module("gguf")
        self.path = path
        try:
            reader = _bounded_reader(self._gguf)(path)
        except FileNotFoundError as exc:
            raise ModelNotFoundError(f"found no file {path}") from exc
        except (ValueError, IndexError, KeyError, OSError) as exc:
            raise ModelNotFoundError(
                f"{path} is damaged, cut short, or not a GGUF file ({exc}): download it again"
            ) from exc
        self._fields: Mapping[str, Any] = reader.fields
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._architecture = self._value("general.architecture")
        if self._architecture not in _ARCHITECTURES:
            raise UnsupportedModelError(
                f"{path} holds architecture {self._architecture}, expected one of "
                f"{', '.join(_ARCHITECTURES)}: give the folder of its safetensors instead"
            )
        if "rope_freqs.weight" in self._tensors:
            raise UnsupportedModelError(f"{path} scales its rotary positions, expected default")
        self.config = self._config()

    def _value(self, name: str, default: Any = None) -> Any:
        field = self._fields.get(name)
        return default if field is None else field.contents()

    def _config(self) -> dict[str, Any]:
        def of(name: str, default: Any = None) -> Any:
            return self._value(f"{self._architecture}.{name}", default)

        eps = of("attention.layer_norm_rms_epsilon")
        return {
            "model_type": self._architecture,
            "vocab_size": len(self._fields["tokenizer.ggml.tokens"].data),
            "hidden_size": of("embedding_length"),
            "intermediate_size": of("feed_forward_length"),
            "num_hidden_layers": of("block_count"),
            "num_attention_heads": of("attention.head_count"),
            "num_key_value_heads": of("attention.head_count_kv", of("attention.head_count")),
            "head_dim": of("attention.key_length"),
            "max_position_embeddings": of("context_length"),
            "rms_norm_eps": float(str(np.float32(eps))),  # 1e-05, not 9.99999975e-06
            "rope_parameters": {
                "rope_theta": of("rope.freq_base", 10000.0),
                "rope_type": of("rope.scaling.type", "default"),
            },
            "tie_word_embeddings": "output.weight" not in self._tensors,
            "bos_token_id": self._value("tokenizer.ggml.bos_token_id"),
            "eos_token_id": self._value("tokenizer.ggml.eos_token_id"),
        }

    def tensor(self, name: str) -> Tensor:
        """Returns a tensor, float32, by its name in `transformers`."""
        ours = name
        for theirs, part in _NAMES.items():
            ours = ours.replace(theirs + ".", part + ".")
        found = self._tensors.get(ours.replace("model.layers.", "blk."))
        if found is None:
            raise ModelNotFoundError(f"{self.path} has no tensor {name}: download it again")
        array = self._gguf.quants.dequantize(found.data, found.tensor_type)
        tensor = torch.from_numpy(np.array(array, dtype=np.float32))
        if self._architecture == "llama" and ".q_proj." in name:
            return _unpermute(tensor, self.config["num_attention_heads"])
        if self._architecture == "llama" and ".k_proj." in name:
            return _unpermute(tensor, self.config["num_key_value_heads"])
        return tensor

    def tokenizer_json(self) -> str:
        """Returns the text of the `tokenizer.json` that the file's tokens and merges make."""
        model, before = self._value("tokenizer.ggml.model"), self._value("tokenizer.ggml.pre")
        if model != "gpt2" or before not in _PRE_TOKENIZERS:
            raise UnsupportedModelError(
                f"{self.path} has tokenizer {model}, {before}, expected gpt2 with one of "
                f"{', '.join(_PRE_TOKENIZERS)}"
            )
        tokens = self._value("tokenizer.ggml.tokens")
        types = self._value("tokenizer.ggml.token_type")
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        parts = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": i, "content": token, **flags, "special": True}
                for i, (token, kind) in enumerate(zip(tokens, types, strict=True))
                if kind == _CONTROL
            ],
            "normalizer": None,
            "pre_tokenizer": _PRE_TOKENIZERS[before],
            "post_processor": None,
            "decoder": _byte_level(True),
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": before == "llama-bpe",
                "vocab": {token: i for i, token in enumerate(tokens)},
                "merges": [merge.split(" ") for merge in self._value("tokenizer.ggml.merges")],
            },
        }
        return json.dumps(parts, ensure_ascii=False)


def _bounded_reader(gguf: Any) -> Any:
    """Returns a reader class that raises ValueError where it would read past the file's end.

    The package's own reads nothing there, so an array that claims to be long would take forever.
    """

    class BoundedReader(gguf.GGUFReader):  # type: ignore[misc]
        def _get(self, offset: Any, dtype: Any, count: Any = 1, **order: Any) -> Any:
            end = int(offset) + int(count) * np.dtype(dtype).itemsize
            if not int(offset) <= end <= len(self.data):
                raise ValueError(f"a value ends at byte {end}, the file at {len(self.data)}")
            return super()._get(offset, dtype, count, **order)

    return BoundedReader


def _unpermute(weight: Tensor, n_head: int) -> Tensor:
    """Undoes what llama.cpp does to rotated rows: it pairs neighbors, we pair halves."""
    pairs = weight.view(n_head, -1, 2, weight.shape[-1])
    return pairs.transpose(1, 2).reshape(weight.shape)
