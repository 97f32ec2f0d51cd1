"""Where a training run begins: with the weights of a model, instead of random ones."""

from __future__ import annotations

from typing import Any

from lmcompress.errors import TrainingError
from lmcompress.gpt.checkpoint import load_network
from lmcompress.gpt.network import GPT
from lmcompress.model_store import find_model, load_model


def begin_with(network: GPT, name: str) -> dict[str, Any]:
    """Copies a model's weights into a network; returns that model's card, with its fingerprint.

    Raises:
      ModelNotFoundError: If there is no such model.
      TrainingError: If it has another shape than the network.
    """
    before = load_network(find_model(name))
    if before.config != network.config:
        ours, theirs = network.config.to_dict(), before.config.to_dict()
        option = next(key for key, value in theirs.items() if ours[key] != value)
        raise TrainingError(
            f"init_from {name} has {option} {theirs[option]}, [model] says {ours[option]}: "
            "give the shape that it has"
        )
    network.load_state_dict(before.state_dict())
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
