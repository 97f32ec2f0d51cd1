"""The commands that report: info, score, models, train, bench, demo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lmcompress
from lmcompress.cli import bench
from lmcompress.models.store import Model
from tests.support.command_line import TEXT, Run, assert_one_line_error, names


def test_info_tells_what_the_headers_say(run: Run, frame_file: Path, tiny_model: Model) -> None:
    told = json.loads(run("info", frame_file, "--json").stdout)
    compressed_bytes = frame_file.stat().st_size
    with_model = compressed_bytes + tiny_model.model_bytes

    assert told["compressed_bytes"] == compressed_bytes
    assert told["bits_per_byte"] == 8 * compressed_bytes / len(TEXT)
    assert told["raw_compression_rate"] == compressed_bytes / len(TEXT)
    assert told["adjusted_compression_rate"] == with_model / len(TEXT)
    frame = told["frames"][0]
    assert (frame["model"], frame["model_is_installed"]) == ("tiny", True)
    assert frame["fingerprint"] == tiny_model.fingerprint.hex()
    assert [segment["raw_bytes"] for segment in frame["segments"]] == [len(TEXT)]
    assert frame["payload_bytes"] == frame["segments"][0]["payload_bytes"] < compressed_bytes


def test_info_of_a_pipe_equals_that_of_the_file(run: Run, frame_file: Path) -> None:
    of_file = json.loads(run("info", frame_file, "--json").stdout)
    of_pipe = json.loads(run("info", "-", "--json", stdin=frame_file.read_bytes()).stdout)
    assert {**of_pipe, "name": of_file["name"]} == of_file


def test_info_as_text_names_model_and_sizes(run: Run, frame_file: Path) -> None:
    text = run("info", frame_file).stdout.decode()
    assert "  coded  " in text or "  mixed  " in text
    for part in ("tiny (installed)", f"{len(TEXT):,}", f"{frame_file.stat().st_size:,}"):
        assert part in text


def test_info_tells_that_a_model_is_missing(
    run: Run, frame_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMCOMPRESS_MODELS")

    told = json.loads(run("info", frame_file, "--json").stdout)

    assert told["frames"][0]["model_is_installed"] is False
    assert told["adjusted_compression_rate"] is None
    assert b"not installed" in run("info", frame_file).stdout


def test_info_of_an_empty_file_has_no_rates(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    run("compress", tmp_path / "empty", "-m", "tiny")

    told = json.loads(run("info", tmp_path / "empty.lmc", "--json").stdout)

    assert (told["raw_bytes"], told["bits_per_byte"]) == (0, None)
    assert run("info", tmp_path / "empty.lmc").code == 0


def test_score_is_the_librarys_and_claims_no_compressed_bytes(
    run: Run, text_file: Path, tiny_model: Model
) -> None:
    expected = lmcompress.score(TEXT, tiny_model)

    result = run("score", text_file, "-m", "tiny", "--json")

    assert json.loads(result.stdout) == [
        {
            "name": str(text_file),
            "raw_bytes": len(TEXT),
            "ideal_code_length_bits": expected.ideal_code_length_bits,
            "ideal_bits_per_byte": expected.ideal_bits_per_byte,
            "quantized_code_length_bits": expected.quantized_code_length_bits,
            "quantized_bits_per_byte": expected.quantized_bits_per_byte,
        }
    ]
    line = run("score", text_file, "-m", "tiny").stdout.decode()
    assert f"quantized {expected.quantized_bits_per_byte:.4f} bits per byte" in line


def test_score_reports_a_missing_file_and_goes_on(run: Run, text_file: Path) -> None:
    empty = text_file.with_name("empty")
    empty.touch()

    result = run("score", text_file.with_name("none"), empty, "-m", "tiny", "--json")

    assert (result.code, result.stderr.count("\n")) == (1, 1)
    (row,) = json.loads(result.stdout)
    assert (row["raw_bytes"], row["ideal_bits_per_byte"]) == (0, None)


def test_models_lists_what_is_installed(run: Run, tiny_model: Model) -> None:
    rows = {row["name"]: row for row in json.loads(run("models", "--json").stdout)}

    config = tiny_model.weights.config
    expected = {
        "name": "tiny",
        "is_default": False,
        "num_parameters": config.num_parameters,
        "model_bytes": tiny_model.model_bytes,
        "context_length": 32,
        "fingerprint": tiny_model.fingerprint.hex(),
        "folder": str(tiny_model.folder),
        "card": {"name": "tiny", "trained_on": []},
    }
    assert expected.items() <= rows["tiny"].items()
    assert tiny_model.fingerprint.hex() in run("models").stdout.decode()


def test_train_names_an_option_that_it_does_not_know(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("learning_speed = 3\n")

    result = run("train", "--config", tmp_path / "run.toml", "--out", tmp_path / "out")

    assert_one_line_error(result, "unknown option 'learning_speed'", "learning_rate")
    assert names(tmp_path) == ["run.toml"]


def test_bench_sets_models_beside_classical_codecs(run: Run, text_file: Path) -> None:
    csv, plot = text_file.with_name("out.csv"), text_file.with_name("out.svg")
    argv = ["bench", text_file, "--codecs", "gzip,xz", "--models", "tiny"]

    result = run(*argv, "--json", "--csv", csv, "--plot", plot)

    records = json.loads(result.stdout)
    assert result.code == 0
    assert {(row["codec"], row["round_trip_ok"]) for row in records} == {
        ("tiny", True), ("gzip-9", True), ("xz-9e", True),
    }  # fmt: skip
    assert csv.read_text().count("\n") == 4
    assert "<svg" in plot.read_text()


def test_none_is_the_same_model_for_bench_as_for_compress(run: Run, text_file: Path) -> None:
    result = run("bench", text_file, "--codecs", "", "--models", "none", "--json")
    assert run("compress", text_file, "-m", "none").code == 0

    [record] = json.loads(result.stdout)
    frame = text_file.with_name(text_file.name + ".lmc")
    assert record["compressed_bytes"] == frame.stat().st_size


def test_bench_of_nothing_is_one_line(run: Run, text_file: Path) -> None:
    assert_one_line_error(run("bench", text_file, "--codecs", "", "--models", ""), "no codec")


def test_bench_prints_a_table_of_rates_and_one_of_speeds(run: Run, text_file: Path) -> None:
    result = run("bench", text_file, "--codecs", "gzip", "--models", "")

    assert result.code == 0
    for part in ("bits per byte", "compress kB/s", "gzip-9"):
        assert part in result.stdout.decode()


def test_bench_refuses_an_existing_output_before_the_work(run: Run, text_file: Path) -> None:
    csv = text_file.with_name("out.csv")
    csv.write_text("precious")
    argv = ["bench", text_file, "--codecs", "gzip", "--models", "", "--csv", csv]

    assert_one_line_error(run(*argv), "out.csv exists: pass -f")
    assert csv.read_text() == "precious"
    assert run(*argv, "-f").code == 0
    assert "gzip-9" in csv.read_text()


def test_bench_of_neither_file_nor_corpus_is_one_line(run: Run) -> None:
    result = run("bench", "canterbury/alice30.txt", "--models", "")
    assert_one_line_error(result, "no such file", "canterbury/alice29.txt")


def test_demo_ends_with_a_table_and_a_plot(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "DEFAULT_MODEL", "tiny")
    monkeypatch.setattr(bench, "DEMO_BYTES", 2000)

    result = run("demo")

    assert result.code == 0
    for part in ("first 2,000 bytes", "tiny", "gzip-9", str(bench.DEMO_PLOT)):
        assert part in result.stdout.decode()
    assert "not trained on it" not in result.stdout.decode()
    assert "<svg" in bench.DEMO_PLOT.read_text()


@pytest.mark.parametrize("primed", [False, True])
def test_info_of_a_compact_frame_tells_what_it_says(
    run: Run, text_file: Path, tiny_model: Model, primed: bool
) -> None:
    prompt = text_file.with_name("prompt")
    prompt.write_bytes(TEXT[:100])
    options = ["--prompt", prompt] if primed else []
    run("compress", text_file, "-m", "tiny", "--compact", *options)
    frame = text_file.with_name("book.txt.lmc")

    told = json.loads(run("info", frame, "--json").stdout)
    text = run("info", frame).stdout.decode()

    [described] = told["frames"]
    assert (described["kind"], described["model"]) == ("compact", "tiny")
    assert described["model_is_installed"] is True
    assert described["fingerprint"] == tiny_model.fingerprint[:4].hex()
    sha256 = lmcompress.Prompt(TEXT[:100]).sha256[:4].hex()
    assert described["prompt_sha256"] == (sha256 if primed else None)
    assert told["raw_bytes"] == described["segments"][0]["raw_bytes"] == len(TEXT)
    assert 20 <= told["compressed_bytes"] - told["payload_bytes"] <= 25
    for part in ("1, compact", "tiny (installed)", described["fingerprint"]):
        assert part in text
    assert (sha256 in text) is primed


def test_info_counts_a_model_of_both_kinds_of_frame_once(run: Run, text_file: Path) -> None:
    full = run("compress", text_file, "-m", "tiny", "-c").stdout
    compact = run("compress", text_file, "-m", "tiny", "-c", "--compact").stdout
    model_bytes = json.loads(run("info", "-", "--json", stdin=full).stdout)["frames"][0][
        "model_bytes"
    ]

    told = json.loads(run("info", "-", "--json", stdin=full + compact).stdout)

    expected = (len(full + compact) + model_bytes) / (2 * len(TEXT))
    assert told["adjusted_compression_rate"] == expected


def test_info_of_compact_frames_that_need_no_model_or_one_that_is_missing(
    run: Run, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = run("compress", "-", "-m", "tiny", "--compact", stdin=b"x").stdout
    coded = run("compress", text_file, "-m", "tiny", "--compact", "-c").stdout
    monkeypatch.delenv("LMCOMPRESS_MODELS")

    told = json.loads(run("info", "-", "--json", stdin=stored + coded).stdout)

    assert [frame["model_is_installed"] for frame in told["frames"]] == [True, False]
    assert [frame["model"] for frame in told["frames"]] == [None, None]
    assert told["adjusted_compression_rate"] is None
    assert b"not installed" in run("info", "-", stdin=stored + coded).stdout
