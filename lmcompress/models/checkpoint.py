"""Checkpoints on disk: a folder with `model.safetensors` and `model.json`, never pickle.

Exact weights load without PyTorch: importing it takes longer than coding a small file.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays

from lmcompress.errors import FingerprintMismatchError, LmcompressError, ModelNotFoundError
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.quantization import ExactWeights, quantize_network
from lmcompress.models.manifest import check_size, read_manifest
from lmcompress.system.atomic import replace_atomically, replace_by
from lmcompress.tokenizer.bpe import TOKENIZER_FILE
from lmcompress.tokenizer.vocabulary import TokenTable

WEIGHTS_FILE = "model.safetensors"
TOKENS_FILE = "tokens.safetensors"

if TYPE_CHECKING:
    from torch import Tensor

    from lmcompress.gpt.network import GPT

_MODULES = {
    "qkv": "attention",
    "proj": "attention",
    "q_norm.weight": "attention",
    "k_norm.weight": "attention",
    "up": "mlp",
    "down": "mlp",
}


def save_float_checkpoint(network: GPT, card: dict[str, Any], folder: Path) -> None:
    """Writes float weights and the model's card; both files are replaced atomically."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    if network.config.tied:
        del tensors["output.weight"]
    replace_tensors(folder / WEIGHTS_FILE, functools.partial(save_file, tensors))
    manifest = {"format": "float", "config": network.config.to_dict(), "card": card}
    with replace_atomically(folder / "model.json", overwrite=True) as file:
        file.write(_json_text(manifest).encode())


def save_tokenizer(table: TokenTable, tokenizer_json: str, folder: Path) -> None:
    """Writes what a model of tokens needs besides its weights; files are replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    save = functools.partial(save_arrays, table.to_arrays())
    replace_tensors(folder / TOKENS_FILE, save)
    with replace_atomically(folder / TOKENIZER_FILE, overwrite=True) as file:
        file.write(tokenizer_json.encode())


def replace_tensors(path: Path, save: Callable[[Path], object]) -> None:
    """Replaces a safetensors file by one that `save` writes; it is synced, and whole or not there.

    Raises:
      LmcompressError: If it cannot be written.
    """
    try:
        replace_by(path, save)
    except SafetensorError as exc:
        raise LmcompressError(f"cannot write {path}: {exc}") from exc


def save_exact_checkpoint(weights: ExactWeights, card: dict[str, Any], folder: Path) -> None:
    """Writes int8 weights and the model's card: what ships in the package."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(array) for name, array in weights.arrays.items()}
    save_arrays(arrays, folder / WEIGHTS_FILE)
    if weights.tokens is not None:
        save_arrays(weights.tokens.to_arrays(), folder / TOKENS_FILE)
    manifest = {
        "format": "exact",
        "config": weights.config.to_dict(),
        "fingerprint": weights.fingerprint.hex(),
        "card": card,
    }
    (folder / "model.json").write_text(_json_text(manifest), "utf-8")
    for path in folder.glob("*.safetensors"):  # the package lets only the owner read them
        shutil.copymode(folder / "model.json", path)


def _json_text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1) + "\n"


def load_exact_checkpoint(folder: Path) -> ExactWeights:
    """Loads a checkpoint's exact weights; float ones are quantized on the way.

    Raises:
      ModelNotFoundError: If files are missing or damaged.
    """
    manifest = read_manifest(folder)
    path = folder / WEIGHTS_FILE
    try:
        if manifest["format"] == "float":
            weights = quantize_network(load_network(folder))
            return dataclasses.replace(weights, tokens=_load_tokens(folder))
        config = GPTConfig.from_dict(manifest["config"])
        weights = ExactWeights(config, load_arrays(path), _load_tokens(folder))
    except FileNotFoundError as exc:
        raise ModelNotFoundError(f"{folder} holds no weights: {path.name} is missing") from exc
    except (ValueError, KeyError, TypeError, SafetensorError) as exc:
        raise ModelNotFoundError(f"{path} cannot be used as a model: {exc}") from exc
    if weights.fingerprint.hex() != manifest.get("fingerprint"):
        raise FingerprintMismatchError(
            f"{path} has fingerprint {weights.fingerprint.hex()}, {folder / 'model.json'} says "
            f"{manifest.get('fingerprint')}: the model is damaged, install it again"
        )
    return weights


def _load_tokens(folder: Path) -> TokenTable | None:
    """Returns the bytes of each token; None for a model whose symbols are bytes."""
    path = folder / TOKENS_FILE
    return TokenTable.from_arrays(load_arrays(path)) if path.is_file() else None


def load_network(folder: Path) -> GPT:
    """Loads a checkpoint as a float network: its floats, or those its int8 weights stand for.

    Raises:
      ModelNotFoundError: If files are missing or damaged.
    """
    from safetensors.torch import load_file

    from lmcompress.gpt.network import GPT

    manifest = read_manifest(folder)
    path = folder / WEIGHTS_FILE
    try:
        config = GPTConfig.from_dict(manifest["config"])
        check_size(folder, config)
        network, tensors = GPT(config), load_file(path)
        state = tensors if manifest["format"] == "float" else _float_state(tensors)
        if config.tied:
            state["output.weight"] = state["token_embedding.weight"]
        network.load_state_dict(state)
    except KeyError as exc:
        raise ModelNotFoundError(f"{path} lacks {exc.args[0]}: install the model again") from exc
    except (ValueError, TypeError, IndexError, RuntimeError, SafetensorError) as exc:
        raise ModelNotFoundError(f"{path} cannot be used as a model: {exc}") from exc
    return network.eval()


def _float_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the floats that int8 weights stand for, named as in `GPT.state_dict()`."""
    state = {}
    for name, value in tensors.items():
        if name.endswith(".q"):
            matrix = value.float() * tensors[f"{name[:-1]}s"][:, None]
            state[_float_name(name[:-2]) + ".weight"] = matrix
        elif name.endswith(".b"):
            state[_float_name(name[:-2]) + ".bias"] = value
        elif "norm" in name:
            state[_float_name(name.replace(".gain", ".weight"))] = value
    return state


def _float_name(name: str) -> str:
    for part, module in _MODULES.items():
        if name.endswith("." + part):
            return f"{name[: -len(part)]}{module}.{part}"
    return name
