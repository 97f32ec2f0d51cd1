"""The experiments measure what the codec does: their code lengths are those of `score`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import lmcompress
from experiments import adaptive_ablation, adaptive_lanes, mix_shift
from experiments.common import write_records, write_table
from experiments.eager import CachedDecoder, prefix_step
from lmcompress import CodecConfig
from lmcompress.adaptive.state import PARTS
from lmcompress.gpt.network import GPT
from lmcompress.model_store import Model, load_model

RAW = b"".join(b"item %d costs %d pounds\n" % (i, i * 7 % 90) for i in range(90))


def score(model: Model | str, config: CodecConfig) -> float:
    return lmcompress.score(RAW, model, config).quantized_code_length_bits


def test_leaving_nothing_out_is_what_the_codec_does(tiny_model: Model) -> None:
    bits = adaptive_ablation.code_lengths(RAW, tiny_model)

    assert bits[adaptive_ablation.NOTHING] == pytest.approx(score(tiny_model, CodecConfig()))
    assert bits[adaptive_ablation.STAGE] == pytest.approx(score("none", CodecConfig()))
    alone = score(tiny_model, CodecConfig(adaptive=False))
    assert bits[adaptive_ablation.GPT] == pytest.approx(alone)


def test_leaving_out_any_part_changes_something(tiny_model: Model) -> None:
    bits = adaptive_ablation.code_lengths(RAW + RAW, tiny_model)  # long matches too

    whole = bits.pop(adaptive_ablation.NOTHING)
    assert set(bits) >= set(PARTS)
    assert all(found != whole for found in bits.values())


def test_one_lane_shares_with_nobody(tiny_model: Model) -> None:
    found = adaptive_lanes.code_lengths(RAW, tiny_model, 1)

    assert found["own states"] == found["shared state"]


def test_many_lanes_pay_for_separate_states(tiny_model: Model) -> None:
    found = adaptive_lanes.code_lengths(RAW, tiny_model, 8)

    assert found["shared state"] < 0.8 * found["own states"]
    expected = score(tiny_model, CodecConfig(lanes=8)) / len(RAW)
    assert found["shared state"] == pytest.approx(expected)


@pytest.mark.parametrize("adaptive", [True, False])
def test_bits_along_a_file_add_up(tiny_model: Model, adaptive: bool) -> None:
    bits = mix_shift.bits_by_byte(RAW, tiny_model, adaptive=adaptive)

    assert bits.shape == (len(RAW),)
    expected = score(tiny_model, CodecConfig(lanes=1, adaptive=adaptive))
    assert np.isclose(bits.sum(), expected)


def test_records_say_where_they_come_from(tmp_path: Path) -> None:
    write_records("mix_shift", [{"corpus": "a", "bits": 1.5}], tmp_path)
    write_table([{"corpus": "a", "bits": 1.5}], tmp_path, "Bits.")

    [record] = map(json.loads, (tmp_path / "records.jsonl").read_text("utf-8").splitlines())
    assert record["bits"] == 1.5
    assert "experiments.mix_shift" in record["command"]
    assert record["machine"]
    assert "| a | 1.5 |" in (tmp_path / "table.md").read_text("utf-8")


def test_the_eager_decoder_computes_the_networks_logits() -> None:
    torch.manual_seed(0)
    network = GPT(load_model().weights.config).eval()
    tokens = torch.randint(0, 256, (700,))
    decoder = CachedDecoder(network)

    steps = [decoder.step(int(token)) for token in tokens]

    with torch.inference_mode():
        expected = network(tokens[None])[0]
    torch.testing.assert_close(torch.stack(steps), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(prefix_step(network, tokens[:300]), expected[299])
