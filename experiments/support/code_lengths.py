"""Code lengths of a published model's tokens: exact, and of the float32 network it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch

from experiments.support.predictions import predictions
from experiments.support.records import RESULTS
from lmcompress import corpora
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.predictor import ContextPolicy
from lmcompress.codec.segments import DirectStage
from lmcompress.codec.session import Session
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.models import sources
from lmcompress.models.catalog import PUBLISHED
from lmcompress.models.pretrained import open_pretrained
from lmcompress.models.store import Model
from lmcompress.tokenizer.bpe import tokenizer_of
from lmcompress.tokenizer.trie import Symbols

Window = tuple[int, int, int]
"""Where the context begins, the first token that counts, where the window ends."""


def symbols_of(model: Model, name: str) -> tuple[bytes, Symbols]:
    """Returns a corpus and its tokens."""
    assert model.tokens is not None
    raw = corpora.load(name)
    return raw, tokenizer_of(model.folder, model.tokens).encode(raw)


def exact_bits(model: Model, symbols: Symbols, policy: ContextPolicy) -> float:
    """Returns the quantized code length of symbols in one lane, without the adaptive stage."""
    session = Session(model, CodecConfig(device="cpu"), policy)
    return sum(map(DirectStage().code_length, predictions(session, symbols, 1)))


def published_network(name: str) -> GPT:
    """Returns the float32 network of the published weights; their file is kept in runs/."""
    cache = RESULTS.parent / "runs" / "published"
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / PUBLISHED[name].file
    if path.exists():
        sources.check_file(path, PUBLISHED[name], str(path))
    else:
        sources.published_file(name, cache)
    return open_pretrained(path).network()


@torch.no_grad()
def float_bits(
    network: GPT, symbols: Symbols, where: Iterable[Window], weights: ExactWeights
) -> tuple[float, float]:
    """Returns the float network's code length of symbols, all of them tokens.

    Once over the tokens that a text spells, as the codec has it, once over all.
    """
    assert weights.tokens is not None
    unspelled = torch.from_numpy(~weights.tokens.is_spelled)
    targets = torch.from_numpy(symbols).long()
    inputs = torch.cat((torch.tensor([weights.config.bos_id]), targets[:-1]))
    spelled = every = 0.0
    for context, start, stop in where:
        logits = network(inputs[None, context:stop])[0, start - context :]
        for rows, chosen in zip(logits.split(256), targets[start:stop].split(256), strict=True):
            nats = rows.double()
            every -= torch.log_softmax(nats, -1).gather(-1, chosen[:, None]).sum().item()
            nats[:, unspelled] = -torch.inf
            spelled -= torch.log_softmax(nats, -1).gather(-1, chosen[:, None]).sum().item()
    return spelled / math.log(2), every / math.log(2)


def windows(count: int, policy: ContextPolicy) -> Iterator[Window]:
    """Yields each window over a number of tokens, as the codec does."""
    start = context = 0
    while start < count:
        stop = min(count, context + policy.window)
        yield context, start, stop
        start, context = stop, stop - policy.overlap
