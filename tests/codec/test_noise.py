"""What nothing makes smaller is stored, and no GPT reads it first."""

from __future__ import annotations

import numpy as np
import pytest

import lmcompress
from lmcompress.codec.noise import MIN_NOISE_BYTES, is_noise
from lmcompress.gpt.cpu import engine
from tests.support.command_line import TEXT


def noise(count: int) -> bytes:
    return np.random.default_rng(0).bytes(count)


def test_noise_is_recognized() -> None:
    assert is_noise(noise(MIN_NOISE_BYTES))
    assert not is_noise(noise(MIN_NOISE_BYTES - 1))


def test_what_holds_anything_is_no_noise() -> None:
    half = noise(MIN_NOISE_BYTES)
    some_text = half[:50_000] + (TEXT * 20)[:5000] + half[50_000:]

    assert not is_noise(half + half)  # zlib sees no repetition so far away, the stage does
    assert not is_noise(some_text)
    assert not is_noise(bytes(byte & 0x7F for byte in half))
    assert not is_noise((TEXT * 1000)[: 2 * MIN_NOISE_BYTES])


def test_a_gpt_does_not_read_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, model = noise(MIN_NOISE_BYTES), lmcompress.load_model("lmc-3m")
    monkeypatch.setattr(engine.CpuEngine, "predict", None)  # it cannot run

    compressed = lmcompress.compress(raw, model)

    assert len(compressed) < len(raw) + 80
    assert lmcompress.decompress(compressed, model) == raw


def test_noise_is_tested_only_within_the_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcompress.codec.encoder.is_noise", None)  # it cannot run

    with pytest.raises(lmcompress.LimitExceededError):
        lmcompress.compress(noise(MIN_NOISE_BYTES), "lmc-3m", memory_limit=1)


def test_a_test_for_noise_can_be_stopped() -> None:
    def stop(_count: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        is_noise(noise(MIN_NOISE_BYTES), stop)
