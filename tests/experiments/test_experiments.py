"""The experiments measure what the codec does: their code lengths are those of `score`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lmcompress
from experiments import (
    adaptive_ablation,
    adaptive_lanes,
    candidates,
    figure_4,
    ladder_table,
    mix_shift,
    pretrained,
    pretrained_sizes,
    pretrained_whole,
    speed,
    step_profile,
    table_2,
)
from experiments.support import code_lengths, records, speed_codecs
from experiments.support.eager_decoder import CachedDecoder, prefix_step
from experiments.support.records import RESULTS, Row, without_source, write_records, write_results
from experiments.support.tables import markdown_of
from lmcompress import CodecConfig
from lmcompress.adaptive.state import PARTS
from lmcompress.benchmark import classical
from lmcompress.benchmark.records import read_rows
from lmcompress.codec.predictor import ContextPolicy
from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.plan import Plan
from lmcompress.gpt.cpu.state import State
from lmcompress.gpt.network import GPT
from lmcompress.models.checkpoint import load_network
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model
from lmcompress.tokenizer.bpe import tokenizer_of
from tests.support.exactness import random_weights

RAW = b"".join(b"item %d costs %d pounds\n" % (i, i * 7 % 90) for i in range(90))


def score(model: Model | str, config: CodecConfig) -> float:
    return lmcompress.score(RAW, model, config).quantized_code_length_bits


def test_leaving_nothing_out_is_what_the_codec_does(tiny_model: Model) -> None:
    bits, _ = adaptive_ablation.measure(RAW, tiny_model)

    assert bits[adaptive_ablation.NOTHING] == pytest.approx(score(tiny_model, CodecConfig()))
    assert bits[adaptive_ablation.STAGE] == pytest.approx(score("none", CodecConfig()))
    alone = score(tiny_model, CodecConfig(adaptive=False))
    assert bits[adaptive_ablation.GPT] == pytest.approx(alone)


def test_leaving_out_any_part_changes_something(tiny_model: Model) -> None:
    bits, seconds = adaptive_ablation.measure(RAW + RAW, tiny_model)  # long matches too

    whole = bits.pop(adaptive_ablation.NOTHING)
    assert set(bits) >= set(PARTS)
    assert all(found != whole for found in bits.values())
    assert seconds.keys() == {adaptive_ablation.NOTHING, *bits}
    assert min(seconds.values()) > 0


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
    def texts(rows: Sequence[Row]) -> dict[str, str]:
        return {"table.md": markdown_of([without_source(row) for row in rows], "Bits.")}

    write_results("mix_shift", [{"corpus": "a", "bits": 1.5}], tmp_path, texts)

    [record] = map(json.loads, (tmp_path / "records.jsonl").read_text("utf-8").splitlines())
    assert record["bits"] == 1.5
    assert "experiments.mix_shift" in record["command"]
    assert record["machine"]
    table = "Bits.\n\n| corpus | bits |\n| --- | ---: |\n| a | 1.5 |\n"
    assert (tmp_path / "table.md").read_text("utf-8") == table


@pytest.mark.parametrize("ngrams", [{}, {"ngram_orders": (2, 4), "ngram_bits": 6}])
def test_the_eager_decoder_computes_the_networks_logits(ngrams: dict[str, Any]) -> None:
    torch.manual_seed(0)
    windows = {"attention_windows": (8, 16, 32, 64)}
    config = dataclasses.replace(load_model().weights.config, **windows, **ngrams)
    network = GPT(config).eval()
    tokens = torch.randint(0, 256, (90,))
    decoder = CachedDecoder(network)

    steps = [decoder.step(int(token)) for token in tokens]

    with torch.inference_mode():
        expected = network(tokens[None])[0]
    torch.testing.assert_close(torch.stack(steps), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(prefix_step(network, tokens[:70]), expected[69])


@pytest.mark.parametrize("script", [table_2, figure_4, ladder_table, candidates])
def test_nothing_to_derive_from_is_one_clear_line(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")

    result = CliRunner().invoke(script.main, ["--derive"])

    assert result.exit_code == 1
    assert f"found no records.jsonl in results/{script.NAME}: leave out --derive" in result.output
    assert not (tmp_path / "results").exists()


def test_records_name_the_commit_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = iter(["ran", "came later"])
    run = records.describe_run()
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(
        records, "describe_run", lambda _: dataclasses.replace(run, git_commit=next(commits))
    )

    with records.result_folder("of_a_test", False) as folder:
        write_records("of_a_test", [{"bits": 1}], folder)

    assert [row["git_commit"] for row in read_rows(folder / "records.jsonl")] == ["ran"]


def test_a_damaged_record_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")

    def read_damaged_rows() -> None:
        with records.result_folder("of_a_test", False) as folder:
            (folder / "records.jsonl").write_text('{"bits": 1}\nnot a record\n{"bits": 2}\n')
            read_rows(folder / "records.jsonl")

    with pytest.raises(click.ClickException, match="line 2"):
        read_damaged_rows()


def test_a_table_has_rows_of_the_newest_weights_alone() -> None:
    old, new = ({"model": "m", "fingerprint": name} for name in ("old", "new"))
    rows = [{"key": "a", **old}, {"key": "gone", **old}, {"key": "a", **new, "bits": 1}]
    rows += [{"key": "a", "model": "n", "fingerprint": "n"}, {"key": "a", **new, "bits": 2}]

    assert records.current(rows) == [{"key": "a", **new, "bits": 2}, rows[3]]


def test_a_run_with_other_weights_is_not_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {str(tmp_path / "ladder-50k"): load_model("ladder-200k"), "": load_model("ladder-50k")}
    monkeypatch.setattr(ladder_table, "is_finished", lambda _: True)
    monkeypatch.setattr(ladder_table, "load_model", lambda run: models[str(run)])

    assert ladder_table.run_of_model(models[""], tmp_path) is None
    assert "another ladder-50k" in capsys.readouterr().err


def test_speeds_of_another_machine_stay(tmp_path: Path) -> None:
    row = {"what": "encode", "kB/s": 2.0, "of float32 scoring": 1.0, "machine": "m"}
    row |= {"threads": 2, "raw_bytes": 10}
    there, here = [{**row, "instructions": name} for name in ("AVX-512 VNNI", "AVX2")]
    before = [there, {**here, "kB/s": 1.0}]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in before))

    kept = speed.with_others([here], tmp_path)

    assert kept == [here, there]
    assert speed.derived_texts(kept)["table.md"].count("| encode | 2.0 | 1.0 |") == 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_a_codecs_peaks_are_those_of_processes_that_hold_the_text() -> None:
    small, large = (speed_codecs.peaks(bytes(count), "gzip-9") for count in (1000, 50_000_000))

    assert small is not None
    assert large is not None
    assert all(40e6 < b - a < 400e6 for a, b in zip(small, large, strict=True))


def test_the_table_of_codecs_has_a_line_for_both_ways() -> None:
    row = {"codec": "gzip-9", "raw_bytes": 80, "compressed_bytes": 20, "peak_bytes": 31_000_000}
    rows = [row | {"action": "compress", "kB/s": 1234.56}]
    rows += [row | {"action": "decompress", "kB/s": 7.0, "peak_bytes": None}]

    assert "| gzip-9 | 2.000 | 1,234.6 | 7.0 | 31 | – |" in speed_codecs.table(rows)  # noqa: RUF001


def test_a_codec_whose_text_does_not_come_back_has_no_speed() -> None:
    broken = classical.ClassicalCodec("broken", "1", bytes, lambda data: data[1:])

    _, decode, size = speed_codecs.coding(b"abc", broken)

    assert size == 3
    with pytest.raises(click.ClickException, match="broken: the text did not come back"):
        decode()


def test_the_code_length_of_tokens_is_that_of_score(token_model: Model) -> None:
    assert token_model.weights is not None
    policy = ContextPolicy.of(token_model.weights)
    symbols = tokenizer_of(token_model.folder, token_model.weights.tokens).encode(RAW)

    bits = code_lengths.exact_bits(token_model, symbols, policy)

    assert bits == pytest.approx(score(token_model, CodecConfig(lanes=1, adaptive=False)))


@pytest.mark.parametrize("overlap", [0, 6, 23])
def test_the_float_network_sees_the_windows_that_the_codec_has(
    overlap: int, token_model: Model
) -> None:
    assert token_model.weights is not None
    policy = ContextPolicy(24, overlap)
    symbols = tokenizer_of(token_model.folder, token_model.weights.tokens).encode(RAW[:300])
    network = load_network(token_model.folder)

    where = code_lengths.windows(len(symbols), policy)
    spelled, every = code_lengths.float_bits(network, symbols, where, token_model.weights)

    exact = code_lengths.exact_bits(token_model, symbols, policy)
    assert exact == pytest.approx(spelled, rel=0.01)
    assert every > spelled


def test_windows_cover_all_tokens_once() -> None:
    found = list(code_lengths.windows(50, ContextPolicy(24, 6)))

    assert found == [(0, 0, 24), (18, 24, 42), (36, 42, 50)]


@pytest.mark.parametrize("experiment", [pretrained, pretrained_whole])
def test_the_committed_tables_of_the_published_model_are_those_of_its_records(
    experiment: ModuleType,
) -> None:
    folder = RESULTS / experiment.NAME

    assert (folder / "table.md").read_text("utf-8") == experiment.table(folder)


def test_the_shares_of_a_step_are_those_of_all_its_parts() -> None:
    raw = b"to be or not to be, that is the question " * 50

    rows = step_profile.profile(raw, load_model(DEFAULT_MODEL), "decode, 1 lane", 1)

    parts = {row["part"] for row in rows}
    assert {"attention", "logits to frequencies", "stage and coder"} <= parts
    shares = [row["share"] for row in rows if row["part"] != step_profile.WHOLE]
    assert sum(shares) == pytest.approx(1, abs=0.01)


def test_every_call_of_a_step_with_ngrams_is_a_part() -> None:
    model = CpuModel(random_weights("ngrams"))
    plan = Plan(model, State(model, 2, 4), 4, has_output=True)

    parts = {step_profile.part_of(call, model.attend) for call in plan.calls}

    assert {"embedding", "attention"} <= parts


def test_a_model_that_was_not_measured_on_all_texts_is_named_in_the_note() -> None:
    texts = ("a", "b")
    whole, part, *_ = pretrained_sizes.FAMILIES["ladder"]
    figures = {"raw bytes": 8, "compressed bytes": 2, "compress s": 1, "decompress s": 1}
    measured = [(whole, "a"), (whole, "b"), (part, "a")]
    rows = [{"name": m.name, "corpus": text, "parameters": 7, **figures} for m, text in measured]

    lines = pretrained_sizes.table(rows, ["ladder"], texts)

    assert [(line["model"], line["all"], line["seconds"]) for line in lines] == [(whole.name, 2, 4)]
    assert part.name in pretrained_sizes.note(lines, ["ladder"])
    assert whole.name not in pretrained_sizes.note(lines, ["ladder"])
