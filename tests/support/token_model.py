"""A small model of tokens: its tokenizer is trained here, its network taught one text."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import quantize_network
from lmcompress.models.checkpoint import save_exact_checkpoint
from lmcompress.tokenizer.bpe import TOKENIZER_FILE, TextTokenizer
from lmcompress.tokenizer.vocabulary import TokenTable, byte_letters

TEXT = (
    b"It was the best of times,\r\nit was the worst of times; the age of wisdom, it was the age "
    b"of foolishness. Call 555-0199 <b>now</b>.\n"
)
MISSING = bytes.fromhex("04 06 13 14 16 1d c0 c1 f1 f2 f5 ff")
"""Bytes without a token, as in SmolLM2's tokenizer."""
SPECIAL = "<|im_end|>"
NAME = "tiny-tokens"
UNKNOWN = 20
"""Ids of the model that the tokenizer does not know."""


def tokenizer_json() -> str:
    """Returns a byte-level BPE that lacks some bytes and has a special token."""
    letters = [letter for letter, byte in byte_letters().items() if byte not in MISSING]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=letters, special_tokens=[SPECIAL], show_progress=False
    )
    tokenizer.train_from_iterator([TEXT.decode()] * 4, trainer)
    return str(tokenizer.to_str())


def save_token_model(folder: Path) -> None:
    """Writes a network that was taught `TEXT`, with its table and tokenizer."""
    text = tokenizer_json()
    vocab_size = max(json.loads(text)["model"]["vocab"].values()) + 1 + UNKNOWN
    table = TokenTable.from_tokenizer_json(text, vocab_size)
    config = GPTConfig(
        vocab_size=vocab_size, n_layer=1, n_embd=64, n_head=2, n_kv_head=1, mlp_hidden=96,
        context_length=24, activation="swiglu", tied=True, activation_bits=12,
    )  # fmt: skip
    torch.manual_seed(1)
    symbols = TextTokenizer(text, table).encode(TEXT * 3)
    weights = quantize_network(_fit(GPT(config), torch.from_numpy(symbols).long()))
    card = {"name": folder.name, "trained_on": []}
    save_exact_checkpoint(dataclasses.replace(weights, tokens=table), card, folder)
    (folder / TOKENIZER_FILE).write_text(text, "utf-8")


def _fit(network: GPT, tokens: torch.Tensor) -> GPT:
    rows = tokens[: len(tokens) // 24 * 24].reshape(-1, 24)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(40):
        logits = network(torch.nn.functional.pad(rows[:, :-1], (1, 0)))
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network
