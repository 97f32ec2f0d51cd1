"""Where a training run begins: with the weights of a model, instead of random ones."""

from __future__ import annotations

from typing import Any

import torch

from lmcompress.errors import TrainingError
from lmcompress.gpt.checkpoint import load_network
from lmcompress.gpt.network import GPT
from lmcompress.model_store import find_model, load_model


def begin_with(network: GPT, name: str) -> dict[str, Any]:
    """Copies a model's weights into a network; returns that model's card, with its fingerprint.

    An n-gram table that the model lacks begins with zeros, which predict what the model predicts.

    Raises:
      ModelNotFoundError: If there is no such model.
      TrainingError: If it has another shape than the network.
    """
    before = load_network(find_model(name))
    ours, theirs = network.config.to_dict(), before.config.to_dict()
    if not before.config.ngram_orders:
        ours |= {"ngram_orders": [], "ngram_bits": 0}
    if ours != theirs:
        option = next(key for key, value in theirs.items() if ours[key] != value)
        raise TrainingError(
            f"init_from {name} has {option} {theirs[option]}, [model] says {ours[option]}: "
            "give the shape that it has"
        )
    state = before.state_dict()
    if network.config.ngram_orders and not before.config.ngram_orders:
        state["ngram_embedding.weight"] = torch.zeros(network.config.ngram_shape)
    network.load_state_dict(state)
    model = load_model(find_model(name))
    return {**model.card, "fingerprint": model.fingerprint.hex()}


def joined_card(card: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Returns the card of a run with what the model that it began with has seen added."""
    return {
        **card,
        "began_with": {key: before.get(key) for key in ("name", "fingerprint", "bytes_seen")},
        "trained_on": sorted({*card["trained_on"], *before.get("trained_on", ())}),
        "bytes_seen": card["bytes_seen"] + before.get("bytes_seen", 0),
    }
