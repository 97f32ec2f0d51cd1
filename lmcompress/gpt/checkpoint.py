"""Checkpoints on disk: a folder with `model.safetensors` and `model.json`, never pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from lmcompress.gpt.network import GPT


def save_float_checkpoint(network: GPT, card: dict[str, Any], folder: Path) -> None:
    """Writes float weights and the model's card; both files are replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    if network.config.tied:
        del tensors["output.weight"]
    save_file(tensors, folder / "model.safetensors.tmp")
    os.replace(folder / "model.safetensors.tmp", folder / "model.safetensors")
    description = {"format": "float", "config": network.config.to_dict(), "card": card}
    (folder / "model.json.tmp").write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    os.replace(folder / "model.json.tmp", folder / "model.json")
