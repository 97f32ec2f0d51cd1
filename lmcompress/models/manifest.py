"""A checkpoint's `model.json`: configuration, fingerprint and card, read without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmcompress.errors import ModelNotFoundError


def read_card(folder: Path) -> dict[str, Any]:
    """Returns the description in `model.json` without loading weights.

    Raises:
      ModelNotFoundError: If the folder holds no readable checkpoint.
    """
    path = folder / "model.json"
    try:
        description: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ModelNotFoundError(f"{folder} holds no model: {path.name} is missing") from exc
    except (ValueError, RecursionError) as exc:
        raise ModelNotFoundError(f"{path} is not valid JSON: {exc}") from exc
    if not isinstance(description, dict) or not {"format", "config", "card"} <= set(description):
        raise ModelNotFoundError(f"{path} lacks format, config or card: not a model of ours")
    if not all(isinstance(description[key], dict) for key in ("config", "card")):
        raise ModelNotFoundError(f"{path} has a config or card that is no object: get it again")
    card = description["card"]
    texts = {"fingerprint": description.get("fingerprint"), "name": card.get("name")}
    for key, value in texts.items():
        if not isinstance(value, str | None):
            raise ModelNotFoundError(f"{path} has {key} {value!r}, expected a text: get it again")
    if not isinstance(card.get("trained_on", []), list):
        raise ModelNotFoundError(f"{path} has a trained_on that is no list: get it again")
    return description


def stored_bytes(folder: Path) -> int:
    """Returns the bytes of a checkpoint's weights and, if it has tokens, of their table."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
