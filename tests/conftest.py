"""Fixtures that many tests share."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lmcompress.cli.main import main
from lmcompress.gpt.config import GPTConfig
from lmcompress.gpt.network import GPT
from lmcompress.gpt.quantization import quantize_network
from lmcompress.models.checkpoint import save_exact_checkpoint
from lmcompress.models.store import Model, load_model
from tests.support.command_line import TEXT, Result, Run

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anybody imports Triton

if "PYTEST_XDIST_WORKER" in os.environ:  # processes share the cores, and spin for each other
    torch.set_num_threads(1)

AWKWARD_INPUTS = {
    "empty": b"",
    "one-byte": b"\x00",
    "all-bytes": bytes(range(256)),
    "zeros": bytes(10_000),
    "random": np.random.default_rng(5).integers(0, 256, 5000, np.uint8).tobytes(),
    "invalid-utf-8": b"abc\xff\xfe\xc3(\xa0\xa1 def \xe2\x82" * 20,
    "multi-byte": "Ünïcödé — 世界 🌍 नमस्ते ".encode() * 40,
    "crlf": b"line one\r\nline two\r\n\r\n" * 50,
    "repeat": b"the quick brown fox jumps over the lazy dog\n" * 4500,
}


@pytest.fixture(params=AWKWARD_INPUTS.values(), ids=AWKWARD_INPUTS.keys())
def awkward_input(request: pytest.FixtureRequest) -> bytes:
    """Bytes that codecs tend to stumble over."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def tiny_model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for LMCOMPRESS_MODELS with one small random model, `tiny`."""
    config = GPTConfig(
        n_layer=1, n_embd=64, n_head=2, context_length=32, attention_windows=(16,),
        rotary_period=128, activation="relu2", qk_norm=True, norm_gain=False,
    )  # fmt: skip
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(1)  # a failure must come again
    weights = quantize_network(_fit(GPT(config)))
    save_exact_checkpoint(weights, {"name": "tiny", "trained_on": []}, root / "tiny")
    return root


def _fit(network: GPT) -> GPT:
    """Teaches the network enough English that text is coded, not stored."""
    text = b"It was the best of times,\r\nit was the worst of times; the age of wisdom. " * 4
    rows = torch.from_numpy(np.frombuffer(text, np.uint8)[:288].astype(np.int64).reshape(9, 32))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(40):
        inputs = torch.nn.functional.pad(rows[:, :-1], (1, 0))
        loss = torch.nn.functional.cross_entropy(network(inputs).flatten(0, 1), rows.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return network


@pytest.fixture
def tiny_model(tiny_model_root: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A small random model that files name `tiny`, and that decompression finds."""
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tiny_model_root))
    return load_model("tiny")


@pytest.fixture(scope="session")
def token_model_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for LMCOMPRESS_MODELS with one small model of tokens, `tiny-tokens`."""
    pytest.importorskip("tokenizers")
    from tests.support.token_model import NAME, save_token_model

    root = tmp_path_factory.mktemp("token-models")
    save_token_model(root / NAME)
    return root


@pytest.fixture
def token_model(token_model_root: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A small model of tokens that files name `tiny-tokens`, and that decompression finds."""
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(token_model_root))
    return load_model("tiny-tokens")


@pytest.fixture
def run(
    tiny_model: Model, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Calls the command line with `tiny` at hand; `stdin` is what a pipe would bring."""

    def call(*argv: object, stdin: bytes | None = None) -> Result:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(argument) for argument in argv])
        captured = capsysbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    return call


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A file `book.txt` of compressible text."""
    path = tmp_path / "book.txt"
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def frame_file(text_file: Path, run: Run) -> Path:
    """`book.txt.lmc`, of which the original was removed."""
    assert run("compress", text_file, "-m", "tiny").code == 0
    text_file.unlink()
    return text_file.with_name("book.txt.lmc")


@pytest.fixture
def sigint_heeded() -> Iterator[None]:
    """Children inherit an ignored SIGINT, as shells give it to what runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
