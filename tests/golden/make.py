"""Makes the golden files of a format version: once, never again for a version that was released.

    python tests/golden/make.py v1
    python tests/golden/make.py compact1
    python tests/golden/make.py tokens1
    python tests/golden/make.py ngrams1
    python tests/golden/make.py prompt1
    python tests/golden/make.py adaptive1

Each golden file is decoded for ever after by `tests/codec/test_golden.py`. The folder holds two
small models (one that streams, one with windows), a text and the files that they made of it. That
of the compact frame has a text, a prompt, and what the models of `v1` made of them; that of
tokens a model of tokens with its table, which is all that decoding needs, and its tokenizer; that
of n-grams is as `v1`, of a model whose embedding they add to. That of prompts has frames made
after a prompt that is long enough for several lanes: the text of `v1`, forty times. That of
adaptive segments has a table of numbers, which no model of `v1` knows, and a text behind it.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import quantize_network
from lmcompress.models.checkpoint import save_exact_checkpoint
from lmcompress.models.store import load_model

TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the "
    "age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the "
    "season of Light, it was the season of Darkness, it was the spring of hope, it was the winter "
    "of despair, we had everything before us, we had nothing before us, we were all going direct "
    "to Heaven, we were all going direct the other way \N{EM DASH} in short.\r\n"
).encode() * 2
RANDOM = np.random.default_rng(1).integers(0, 256, 600, np.uint8).tobytes()

CONFIGS = {
    "golden-stream": GPTConfig(
        n_layer=2, n_embd=64, n_head=1, context_length=64, attention_windows=(16, 64), qk_norm=True,
        activation="relu2", norm_gain=False, rotary_period=128, mlp_hidden=128,
    ),
    "golden-window": GPTConfig(
        n_layer=2, n_embd=64, n_head=2, context_length=64, norm="layernorm", positions="learned",
        activation="gelu", bias=True, tied=True, mlp_hidden=128,
    ),
}  # fmt: skip

NGRAMS = {
    "golden-ngrams": dataclasses.replace(
        CONFIGS["golden-stream"], ngram_orders=(2, 3, 4, 6), ngram_bits=6
    )
}

COMPACT: dict[str, dict[str, Any]] = {
    "coded": {"lanes": 3, "adaptive": False},
    "mixed": {"lanes": 1},
}


def fit(network: GPT) -> GPT:
    """Teaches a network the text, so that it is coded, not stored."""
    symbols = np.frombuffer(TEXT, np.uint8).astype(np.int64)
    rows = torch.from_numpy(symbols[: len(symbols) // 64 * 64].reshape(-1, 64))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(60):
        logits = network(F.pad(rows[:, :-1], (1, 0)))
        F.cross_entropy(logits.flatten(0, 1), rows.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network


def make_compact(root: Path) -> None:
    """Writes text, prompt and compact frames; coded ones in lanes, mixed ones in one, primed."""
    prompt, text = TEXT[:150], TEXT[100:500]
    (root / "raw.bin").write_bytes(text)
    (root / "prompt.bin").write_bytes(prompt)
    for name in CONFIGS:
        model = load_model(root.parent / "v1" / "models" / name)
        for kind, settings in COMPACT.items():
            config = CodecConfig(
                prompt=Prompt(prompt) if kind == "mixed" else None, compact=True, **settings
            )
            (root / f"{name}.{kind}.lmc").write_bytes(lmcompress.compress(text, model, config))


def make_full(root: Path, configs: dict[str, GPTConfig] = CONFIGS) -> None:
    """Writes models, text and full frames."""
    (root / "raw.bin").write_bytes(TEXT + RANDOM)
    for name, config in configs.items():
        torch.manual_seed(1)
        weights = quantize_network(fit(GPT(config)))
        save_exact_checkpoint(weights, {"name": name, "trained_on": []}, root / "models" / name)
        model = load_model(root / "models" / name)
        for adaptive in (False, True):
            settings = CodecConfig(lanes=3, segment_bytes=len(TEXT), adaptive=adaptive)
            frame = lmcompress.compress(TEXT + RANDOM, model, settings)
            kind = "mixed" if adaptive else "coded"
            (root / f"{name}.{kind}.lmc").write_bytes(frame)


def make_tokens(root: Path) -> None:
    """Writes a model of tokens, a text with bytes that are no tokens, and frames of all kinds."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.support.token_model import MISSING, SPECIAL, save_token_model
    from tests.support.token_model import TEXT as TAUGHT

    text = TAUGHT * 2 + SPECIAL.encode() + TEXT[:300] + b"\xff\xfe" + MISSING[:3] + TAUGHT
    (root / "raw.bin").write_bytes(text + RANDOM)
    save_token_model(root / "models" / "golden-tokens")
    model = load_model(root / "models" / "golden-tokens")
    for kind in ("coded", "mixed"):
        settings = CodecConfig(lanes=3, segment_bytes=len(text), adaptive=kind == "mixed")
        frame = lmcompress.compress(text + RANDOM, model, settings)
        (root / f"golden-tokens.{kind}.lmc").write_bytes(frame)
    compact = lmcompress.compress(text, model, CodecConfig(lanes=2, compact=True))
    (root / "golden-tokens.compact.lmc").write_bytes(compact)


PROMPT_COPIES = 40


def make_prompt(root: Path) -> None:
    """Writes a text and frames after a prompt that is read in several lanes."""
    raw = TEXT[::-1] + TEXT
    (root / "raw.bin").write_bytes(raw)
    config = CodecConfig(lanes=2, prompt=Prompt(TEXT * PROMPT_COPIES, "forty"))
    stream = load_model(root.parent / "v1" / "models" / "golden-stream")
    for model in (load_model("none"), stream):
        (root / f"{model.name}.lmc").write_bytes(lmcompress.compress(raw, model, config))


def make_adaptive(root: Path) -> None:
    """Writes numbers and a text, and a frame with a segment of each."""
    numbers = np.arange(1 << 14, dtype="<u4").tobytes()
    (root / "raw.bin").write_bytes(numbers + TEXT)
    stream = load_model(root.parent / "v1" / "models" / "golden-stream")
    config = CodecConfig(segment_bytes=len(numbers))
    (root / "golden-stream.lmc").write_bytes(lmcompress.compress(numbers + TEXT, stream, config))


MAKERS = {
    "v": make_full,
    "compact": make_compact,
    "tokens": make_tokens,
    "prompt": make_prompt,
    "adaptive": make_adaptive,
    "ngrams": functools.partial(make_full, configs=NGRAMS),
}


def main(version: str) -> None:
    """Writes into the version's folder, which must not exist."""
    root = Path(__file__).parent / version
    root.mkdir()
    MAKERS[version.rstrip("0123456789")](root)


if __name__ == "__main__":
    main(sys.argv[1])
