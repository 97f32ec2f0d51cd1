"""Starting a training run from the weights of a model instead of random ones."""

from __future__ import annotations

from typing import Any

import torch

from lmcompress.errors import TrainingError
from lmcompress.gpt.network import GPT
from lmcompress.models.checkpoint import load_network
from lmcompress.models.store import Model, load_model
from lmcompress.training.config import TrainConfig
from lmcompress.training.symbols import Bytes, Tokens


def begin_with(network: GPT, config: TrainConfig, alphabet: Bytes | Tokens) -> dict[str, Any]:
    """Copies the weights of `init_from` into a network; returns that model's card and fingerprint.

    If only the network has an n-gram table, the table starts as zeros: at first the network then
    predicts what the model does.

    Raises:
      ModelNotFoundError: If the model is unknown.
      TrainingError: If it has other symbols or another shape, or was trained on what is held out.
    """
    model = load_model(config.init_from)
    if model.weights is None:
        raise TrainingError(f"init_from is {config.init_from}, expected a GPT")
    ours = alphabet.table.digest() if isinstance(alphabet, Tokens) else None
    theirs = model.tokens.digest() if model.tokens else None
    if ours != theirs:
        raise TrainingError(
            f"init_from is {config.init_from}, expected a model of "
            f"{'bytes' if ours is None else 'the tokens of ' + config.tokenizer}"
        )
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
                "use the same shape"
            )


def _check_holdout(model: Model, config: TrainConfig) -> None:
    held_out = model.card.get("held_out_bytes_per_source", 0)
    seen = sorted(set(config.sources) & set(model.card.get("trained_on", ())))
    if seen and config.holdout_bytes > held_out:
        raise TrainingError(
            f"init_from {config.init_from} was trained on all of {seen[0]} except the last "
            f"{held_out} bytes: holdout_bytes is {config.holdout_bytes}, expected no more"
        )


def joined_card(card: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Returns a run's card, counting the text that the model it started from was trained on."""
    return {
        **card,
        "began_with": {key: before.get(key) for key in ("name", "fingerprint", "bytes_seen")},
        "trained_on": sorted({*card["trained_on"], *before.get("trained_on", ())}),
        **{
            key: card[key] + before.get(key, 0)
            for key in ("bytes_seen", "tokens_seen")
            if key in card
        },
    }
