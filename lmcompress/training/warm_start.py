"""Where a training run begins: with the weights of a model, instead of random ones."""

from __future__ import annotations

from typing import Any

import torch

from lmcompress.errors import TrainingError
from lmcompress.gpt.network import GPT
from lmcompress.models.checkpoint import load_network
from lmcompress.models.store import Model, load_model
from lmcompress.training.config import TrainConfig


def begin_with(network: GPT, config: TrainConfig) -> dict[str, Any]:
    """Copies the weights of `init_from` into a network; returns its card, with its fingerprint.

    An n-gram table that the model lacks begins with zeros, which predict what the model predicts.

    Raises:
      ModelNotFoundError: If there is no such model.
      TrainingError: If it is of tokens or of another shape, or has seen what is held out here.
    """
    model = load_model(config.init_from)
    if model.weights is None or model.tokens is not None:
        raise TrainingError(f"init_from is {config.init_from}, expected a model of bytes")
    _check_shape(model, config)
    _check_holdout(model, config)
    state = load_network(model.folder).state_dict()
    if config.model.ngram_orders and not model.weights.config.ngram_orders:
        state["ngram_embedding.weight"] = torch.zeros(config.model.ngram_shape)
    network.load_state_dict(state)
    return {**model.card, "fingerprint": model.fingerprint.hex()}


def _check_shape(model: Model, config: TrainConfig) -> None:
    assert model.weights is not None
    ours, theirs = config.model.to_dict(), model.weights.config.to_dict()
    if not theirs["ngram_orders"]:
        ours |= {"ngram_orders": [], "ngram_bits": 0}
    for option, value in theirs.items():
        if ours[option] != value:
            raise TrainingError(
                f"init_from {config.init_from} has {option} {value}, [model] says {ours[option]}: "
                "give the shape that it has"
            )


def _check_holdout(model: Model, config: TrainConfig) -> None:
    held_out = model.card.get("held_out_bytes_per_source", 0)
    seen = sorted(set(config.sources) & set(model.card.get("trained_on", ())))
    if seen and config.holdout_bytes > held_out:
        raise TrainingError(
            f"init_from {config.init_from} was trained on all of {seen[0]} but its last {held_out} "
            f"bytes: holdout_bytes is {config.holdout_bytes}, expected {held_out} at most"
        )


def joined_card(card: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Returns the card of a run with what the model that it began with has seen added."""
    return {
        **card,
        "began_with": {key: before.get(key) for key in ("name", "fingerprint", "bytes_seen")},
        "trained_on": sorted({*card["trained_on"], *before.get("trained_on", ())}),
        "bytes_seen": card["bytes_seen"] + before.get("bytes_seen", 0),
    }
