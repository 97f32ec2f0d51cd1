"""A model's `model.json` (configuration, fingerprint, card) and its size, read without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompress.errors import ModelNotFoundError

if TYPE_CHECKING:
    from lmcompress.gpt.config import GPTConfig


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns what is in a model's `model.json`: format, config, card and, if known, fingerprint.

    Raises:
      ModelNotFoundError: If the folder does not hold a model, or the file is damaged.
    """
    path = folder / "model.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ModelNotFoundError(f"{folder} does not hold a model: no {path.name} in it") from exc
    except (ValueError, RecursionError) as exc:
        raise ModelNotFoundError(f"{path} is not valid JSON: {exc}") from exc
    if not isinstance(manifest, dict) or not {"format", "config", "card"} <= set(manifest):
        raise ModelNotFoundError(f"{path} lacks format, config or card: not an lmcompress model")
    _check_types(path, manifest)
    return manifest


def _check_types(path: Path, manifest: dict[str, Any]) -> None:
    """Raises ModelNotFoundError if a member is not of the type that its readers rely on."""
    for key in ("config", "card"):
        _check(path, key, manifest[key], dict, "an object")
    card = manifest["card"]
    _check(path, "fingerprint", manifest.get("fingerprint"), str | None, "a string")
    _check(path, "name", card.get("name"), str | None, "a string")
    corpora = card.get("trained_on", [])
    _check(path, "trained_on", corpora, list, "a list")
    for corpus in corpora:
        _check(path, "trained_on", corpus, str, "strings")


def _check(path: Path, key: str, value: object, expected: Any, description: str) -> None:
    if not isinstance(value, expected):
        raise ModelNotFoundError(
            f"{path} has {key} {value!r}, expected {description}: install the model again"
        )


def stored_model_bytes(folder: Path) -> int:
    """Returns the bytes of a model's arrays on disk: weights and, if there is one, token table.

    For an exact model this is its `model_bytes`: the headers of the files are not counted.

    Raises:
      ModelNotFoundError: If the weights are missing or damaged.
    """
    paths = [folder / "model.safetensors", *folder.glob("tokens.safetensors")]
    return sum(map(_array_bytes, paths))


def check_size(folder: Path, config: GPTConfig) -> None:
    """Raises ModelNotFoundError if a model's files are too small for its parameters.

    Called before memory for them is allocated. A parameter takes at least a byte.
    """
    found = stored_model_bytes(folder)
    if config.num_parameters > found:
        raise ModelNotFoundError(
            f"{folder} has {found:,} bytes of weights, expected at least one for each of "
            f"{config.num_parameters:,} parameters: install the model again"
        )


def _array_bytes(path: Path) -> int:
    """Returns the bytes of a safetensors file after its header, whose size is in its first 8 bytes.

    The format: https://github.com/huggingface/safetensors, "Format".
    """
    try:
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
        array_bytes = path.stat().st_size - 8 - header_bytes
    except OSError as exc:
        raise ModelNotFoundError(f"cannot read {path}: {exc.strerror or exc}") from exc
    if array_bytes < 0:
        raise ModelNotFoundError(f"{path} is cut short: install the model again")
    return array_bytes
