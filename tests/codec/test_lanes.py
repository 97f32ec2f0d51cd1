"""Lanes: how a segment is cut, and how many there are."""

from __future__ import annotations

import numpy as np
import pytest

from lmcompress import CodecConfig
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.session import Session
from lmcompress.models.store import Model, load_model


@pytest.mark.parametrize("raw_bytes", [1, 2, 7, 64, 65, 1000])
@pytest.mark.parametrize("most", [1, 2, 7])
def test_lanes_are_cut_without_loss(raw_bytes: int, most: int) -> None:
    raw = bytes(i % 251 for i in range(raw_bytes))
    layout = LaneLayout(raw_bytes, min(most, raw_bytes))

    symbols = layout.split(np.frombuffer(raw, np.uint8))

    assert symbols.shape == (layout.lanes, layout.steps)
    lengths = layout.sums(np.ones(raw_bytes, np.int64))
    lanes = [row[:length].tobytes() for row, length in zip(symbols, lengths, strict=True)]
    assert b"".join(lanes) == raw
    assert symbols[0].tobytes() == raw[: layout.steps]


@pytest.mark.parametrize(("device", "most"), [("cpu", 16), ("cuda", 256)])
def test_automatic_lanes_have_16_kib_and_are_more_on_a_gpu(
    device: str, most: int, tiny_model: Model, token_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmcompress.codec.session.resolve_device", lambda _: device)
    config = CodecConfig(device=device)
    of_bytes, of_tokens = Session(tiny_model, config), Session(token_model, config)

    assert [of_bytes.lanes_for(kib << 10) for kib in (1, 16, 200, 16 << 10)] == [1, 1, 12, most]
    assert [of_tokens.lanes_for(n << 10) for n in (1, 2, 25, 4 << 10)] == [1, 1, 12, most]
    assert Session(tiny_model, CodecConfig(lanes=3)).lanes_for(1 << 20) == 3
    assert Session(load_model("none")).lanes_for(1 << 30) == 1
