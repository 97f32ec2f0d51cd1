"""Starting a training run from the weights of a model instead of random ones."""

from __future__ import annotations

from typing import Any

import torch

from lmcompress.errors import TrainingError
from lmcompress.gpt.network import GPT
from lmcompress.models.checkpoint import load_network
from lmcompress.models.store import Model, load_model
from lmcompress.tokenizer.bpe import tokenizer_of
from lmcompress.tokenizer.vocabulary import TokenTable
from lmcompress.training.config import TrainConfig
from lmcompress.training.symbols import Bytes, Tokens


def begin_with(network: GPT, config: TrainConfig, alphabet: Bytes | Tokens) -> dict[str, Any]:
    """Copies the weights of `init_from` into a network; returns that model's card and fingerprint.

    If only the network has an n-gram table, the table starts as zeros: at first the network then
    predicts what the model does. If the run has another tokenizer with the same vocabulary size,
    each of its tokens gets the mean embedding of the model's tokens that spell it.

    Raises:
      ModelNotFoundError: If the model is unknown.
      TrainingError: If only one of the two has bytes as symbols, if they differ in shape, or if the
        model was trained on what is held out.
    """
    model = load_model(config.init_from)
    if model.weights is None:
        raise TrainingError(f"init_from is {config.init_from}, expected a GPT")
    has_tokens = isinstance(alphabet, Tokens)
    if has_tokens != (model.tokens is not None):
        expected = "token-level" if has_tokens else "byte-level"
        raise TrainingError(f"init_from is {config.init_from}, expected a {expected} model")
    _check_shape(model, config)
    _check_holdout(model, config)
    state = load_network(model.folder).state_dict()
    if isinstance(alphabet, Tokens):
        _translate(state, model, config, alphabet.table)
    if config.model.ngram_orders and not model.weights.config.ngram_orders:
        state["ngram_embedding.weight"] = torch.zeros(config.model.ngram_shape)
    network.load_state_dict(state)
    return {**model.card, "fingerprint": model.fingerprint.hex()}


def _translate(
    state: dict[str, torch.Tensor], model: Model, config: TrainConfig, table: TokenTable
) -> None:
    """Changes the embeddings of a model's tokens to those of another vocabulary's."""
    assert model.tokens is not None
    if model.tokens.tokens == table.tokens:
        return
    if config.model.ngram_orders:
        raise TrainingError(
            f"init_from {config.init_from} has another tokenizer, which a table of n-grams rules "
            f"out: use its own instead of {config.tokenizer}, or set ngram_orders to []"
        )
    tokenizer = tokenizer_of(model.folder, model.tokens)
    spelled = [model.tokens.read_as(tokenizer.encode(t), config.model.bos_id) for t in table.tokens]
    for name in ("token_embedding.weight", "output.weight"):
        state[name] = torch.stack([state[name][ids].mean(0) for ids in spelled])


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
