"""The command line, in process: exit codes, what goes where, and what is never left behind."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import lmcompress as library
from lmcompress import cli_bench
from lmcompress.cli import lmcompress, main
from lmcompress.cli_errors import error_line
from lmcompress.cli_options import byte_count
from lmcompress.codec import DEFAULT_SEGMENT_BYTES
from lmcompress.model_store import Model

TEXT = b"It was the best of times,\r\nit was the worst of times; the age of wisdom. " * 8


class Result(NamedTuple):
    code: int
    stdout: bytes
    stderr: str


Run = Callable[..., Result]


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
    path = tmp_path / "book.txt"
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def frame_file(text_file: Path, run: Run) -> Path:
    """`book.txt.lmc`, of which the original was removed."""
    assert run("compress", text_file, "-m", "tiny").code == 0
    text_file.unlink()
    return text_file.with_name("book.txt.lmc")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_one_line_error(result: Result, *expected: str) -> None:
    """Exit code 1, nothing on stdout, one line on stderr with all of `expected` in it."""
    assert (result.code, result.stdout) == (1, b"")
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("lmcompress: ")
    for part in expected:
        assert part in lines[0]


# Round trips


def test_files_round_trip(run: Run, tmp_path: Path, awkward_input: bytes) -> None:
    path = tmp_path / "raw"
    path.write_bytes(awkward_input)

    assert run("compress", path, "-m", "tiny") == (0, b"", "")
    path.unlink()
    assert run("decompress", tmp_path / "raw.lmc") == (0, b"", "")

    assert path.read_bytes() == awkward_input
    assert names(tmp_path) == ["raw", "raw.lmc"]


def test_dash_is_stdin_and_stdout(run: Run, tmp_path: Path) -> None:
    compressed = run("compress", "-", "-m", "tiny", stdin=TEXT)
    assert (compressed.code, compressed.stderr) == (0, "")

    assert run("decompress", "-", stdin=compressed.stdout) == (0, TEXT, "")
    assert run("test", "-", stdin=compressed.stdout) == (0, b"", "")
    assert run("decompress", "-", "-o", tmp_path / "out", stdin=compressed.stdout).code == 0
    assert (tmp_path / "out").read_bytes() == TEXT


def test_output_option_may_be_stdout(run: Run, frame_file: Path) -> None:
    assert run("decompress", frame_file, "-o", "-") == (0, TEXT, "")


def test_several_files_to_stdout_are_one_stream(run: Run, tmp_path: Path) -> None:
    for name, raw in (("a", TEXT), ("b", b"second")):
        (tmp_path / name).write_bytes(raw)

    both = run("compress", "-c", tmp_path / "a", tmp_path / "b", "-m", "tiny")

    assert both.code == 0
    assert names(tmp_path) == ["a", "b"]
    assert run("decompress", "-", stdin=both.stdout) == (0, TEXT + b"second", "")


def test_input_is_kept_and_mode_and_time_are_copied(run: Run, text_file: Path) -> None:
    text_file.chmod(0o640)
    os.utime(text_file, ns=(1_600_000_000_000_000_000, 1_500_000_000_123_456_789))

    run("compress", text_file, "-m", "tiny")
    frame = text_file.with_name("book.txt.lmc")
    run("decompress", frame, "-o", text_file.with_name("again"))

    assert text_file.read_bytes() == TEXT
    for path in (frame, text_file.with_name("again")):
        assert path.stat().st_mode & 0o777 == 0o640
        assert path.stat().st_mtime_ns == 1_500_000_000_123_456_789


def test_layout_options_change_the_file_and_need_not_be_repeated(run: Run, text_file: Path) -> None:
    out = text_file.with_name("out.lmc")
    run("compress", text_file, "-m", "tiny", "--lanes", 3, "--segment-bytes", "256B", "-o", out)

    segments = json.loads(run("info", out, "--json").stdout)["frames"][0]["segments"]

    assert [segment["raw_bytes"] for segment in segments] == [256, 256, len(TEXT) - 512]
    assert {segment["lanes"] for segment in segments if segment["method"] == "coded"} == {3}
    assert run("decompress", out, "-c", "--threads", 1, "--device", "cpu").stdout == TEXT


def test_model_may_be_a_folder_outside_the_known_ones(
    run: Run, text_file: Path, tiny_model_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMCOMPRESS_MODELS")
    folder = tiny_model_root / "tiny"
    frame = text_file.with_name("book.txt.lmc")

    assert run("compress", text_file, "-m", folder).code == 0
    assert_one_line_error(run("decompress", frame, "-c"), "no model 'tiny'")
    assert run("decompress", frame, "-c", "-m", folder).stdout == TEXT
    assert run("test", frame, "-m", folder).code == 0


# Outputs


def test_existing_output_is_refused_without_force(run: Run, text_file: Path) -> None:
    frame = text_file.with_name("book.txt.lmc")
    frame.write_bytes(b"precious")

    refused = run("compress", text_file, "-m", "tiny")

    assert_one_line_error(refused, "book.txt.lmc exists: pass -f to overwrite")
    assert frame.read_bytes() == b"precious"
    assert run("compress", text_file, "-m", "tiny", "-f").code == 0
    assert run("decompress", frame, "-c").stdout == TEXT


def test_input_is_never_its_own_output(run: Run, text_file: Path) -> None:
    refused = run("compress", text_file, "-m", "tiny", "-f", "-o", text_file)

    assert_one_line_error(refused, "is the input")
    assert text_file.read_bytes() == TEXT


def test_unknown_suffix_asks_for_a_name(run: Run, frame_file: Path) -> None:
    renamed = frame_file.rename(frame_file.with_name("book.bin"))

    assert_one_line_error(run("decompress", renamed), ".lmc", "-o OUT")
    assert names(renamed.parent) == ["book.bin"]
    assert run("decompress", renamed, "-c").stdout == TEXT


@pytest.mark.parametrize(
    "argv",
    [
        ["compress"],
        ["compress", "a", "b", "-o", "c"],
        ["compress", "a", "-o", "b", "-c"],
        ["compress", "a", "--lanes", "many"],
        ["compress", "a", "--lanes", "0"],
        ["compress", "a", "--segment-bytes", "16Q"],
        ["compress", "a", "--segment-bytes", "2G"],
        ["compress", "a", "--threads", "0"],
        ["compress", "a", "--device", "abacus"],
        ["compress", "a", "--no-such-option"],
        ["no-such-command"],
        ["train", "--out", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(run: Run, argv: list[str]) -> None:
    result = run(*argv)

    assert (result.code, result.stdout) == (2, b"")
    assert "Usage: lmcompress" in result.stderr


def test_output_in_a_missing_folder_is_one_line(run: Run, text_file: Path) -> None:
    out = text_file.with_name("none") / "book.lmc"
    assert_one_line_error(run("compress", text_file, "-m", "tiny", "-o", out), "found no folder")


def test_output_below_a_file_is_one_line(run: Run, text_file: Path) -> None:
    result = run("compress", text_file, "-m", "tiny", "-o", text_file / "book.lmc")
    assert_one_line_error(result, "cannot write")


@pytest.fixture
def unwritable_folder(tmp_path: Path) -> Path:
    """A folder in which no file can be made, not even by root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        return tmp_path / "locked"
    if not Path("/sys/kernel").is_dir():
        pytest.skip("root may write everywhere here")
    return Path("/sys/kernel")


def test_unwritable_folder_is_one_line(run: Run, text_file: Path, unwritable_folder: Path) -> None:
    out = unwritable_folder / "book.lmc"
    assert_one_line_error(run("compress", text_file, "-m", "tiny", "-o", out), "cannot write")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_device_is_one_line(run: Run, text_file: Path) -> None:
    result = run("compress", text_file, "-m", "tiny", "-o", "/dev/full")
    assert_one_line_error(result, "No space left on device")


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: the end that reads what is shown, and the name of the other."""
    pty = pytest.importorskip("pty")
    reader, shown = pty.openpty()
    yield reader, os.ttyname(shown)
    os.close(reader)
    os.close(shown)


def test_compressed_bytes_are_kept_from_a_terminal(
    run: Run, text_file: Path, terminal: tuple[int, str]
) -> None:
    reader, name = terminal

    assert_one_line_error(run("compress", text_file, "-m", "tiny", "-o", name), "terminal", "-f")

    assert run("compress", text_file, "-m", "tiny", "-o", name, "-f").code == 0
    assert os.read(reader, 4) == b"\x89LMC"


@pytest.mark.parametrize("quiet", [False, True])
def test_result_is_told_to_a_terminal_unless_quiet(
    run: Run, text_file: Path, terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch,
    quiet: bool,
) -> None:  # fmt: skip
    reader, name = terminal
    options = ["-q"] if quiet else []
    with open(name, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        assert run("compress", text_file, "-m", "tiny", *options).code == 0
        stderr.write("END")
    shown = b""
    while not shown.endswith(b"END"):
        shown += os.read(reader, 65536)

    compressed_bytes = text_file.with_name("book.txt.lmc").stat().st_size
    line = f"{text_file}: {len(TEXT)} -> {compressed_bytes} bytes, "
    line += f"{8 * compressed_bytes / len(TEXT):.3f} bits per byte"
    assert (line in shown.decode()) is not quiet
    assert (b"book.txt" in shown) is not quiet


# Inputs


def test_error_with_one_file_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    for name in ("a", "c"):
        (tmp_path / name).write_bytes(TEXT)

    result = run("compress", *(tmp_path / name for name in "abc"), "-m", "tiny")

    assert_one_line_error(result, f"{tmp_path / 'b'}: No such file or directory")
    assert names(tmp_path) == ["a", "a.lmc", "c", "c.lmc"]


def test_folder_is_no_input(run: Run, tmp_path: Path) -> None:
    assert_one_line_error(run("compress", tmp_path, "-m", "tiny"), f"{tmp_path}: Is a directory")


@pytest.mark.parametrize("command", ["decompress", "test", "info"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda frame: b"PK\x03\x04 surely something else", "not an .lmc file"),
        (lambda frame: b"", "expected an .lmc file"),
        (lambda frame: frame[:4] + bytes([frame[4] + 1]) + frame[5:], "needs a newer lmcompress"),
        (lambda frame: frame[:20], "cut short"),
        (lambda frame: frame[:-1], "cut short"),
        (lambda frame: frame[: len(frame) // 2], "cut short"),
        (lambda frame: frame + b"junk", "after a frame"),
    ],
    ids=["other-format", "empty", "future-version", "header", "last-byte", "half", "junk"],
)
def test_bad_file_is_one_line_and_leaves_no_output(
    run: Run, frame_file: Path, command: str, damage: Callable[[bytes], bytes], message: str
) -> None:
    frame_file.write_bytes(damage(frame_file.read_bytes()))

    assert_one_line_error(run(command, frame_file), message)
    assert names(frame_file.parent) == ["book.txt.lmc"]


@pytest.mark.parametrize("command", ["decompress", "test"])
def test_damaged_payload_is_one_line_and_leaves_no_output(
    run: Run, frame_file: Path, command: str
) -> None:
    frame = bytearray(frame_file.read_bytes())
    frame[len(frame) // 2] ^= 1
    frame_file.write_bytes(frame)

    assert_one_line_error(run(command, frame_file), "damaged")
    assert names(frame_file.parent) == ["book.txt.lmc"]


def test_missing_model_lists_those_known(run: Run, text_file: Path) -> None:
    result = run("compress", text_file, text_file, "-m", "tinny")

    assert_one_line_error(result, "no model 'tinny'", "did you mean tiny?", "known are")
    assert names(text_file.parent) == ["book.txt"]


def test_file_of_a_missing_model_is_one_line_and_leaves_no_output(
    run: Run, frame_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMCOMPRESS_MODELS")

    assert_one_line_error(run("decompress", frame_file), "no model 'tiny'")
    assert names(frame_file.parent) == ["book.txt.lmc"]


def test_verbose_shows_where_an_error_came_from(run: Run, tmp_path: Path) -> None:
    argv = ["compress", tmp_path / "none", "-m", "tiny"]
    assert "Traceback" in run("-v", *argv).stderr
    assert_one_line_error(run(*argv))
    assert logging.getLogger("lmcompress").handlers == []


def test_lack_of_memory_is_one_line() -> None:
    assert error_line(MemoryError(), "big") == (
        "big: not enough memory: use smaller --segment-bytes or fewer --lanes"
    )


# info, score, models, train, bench, demo


def test_info_tells_what_the_headers_say(run: Run, frame_file: Path, tiny_model: Model) -> None:
    told = json.loads(run("info", frame_file, "--json").stdout)
    compressed_bytes = frame_file.stat().st_size
    stored_bytes = (tiny_model.folder / "model.safetensors").stat().st_size

    assert told["compressed_bytes"] == compressed_bytes
    assert told["bits_per_byte"] == 8 * compressed_bytes / len(TEXT)
    assert told["raw_compression_rate"] == compressed_bytes / len(TEXT)
    assert told["adjusted_compression_rate"] == (compressed_bytes + stored_bytes) / len(TEXT)
    frame = told["frames"][0]
    assert (frame["model"], frame["model_at_hand"]) == ("tiny", True)
    assert frame["fingerprint"] == tiny_model.fingerprint.hex()
    assert [segment["raw_bytes"] for segment in frame["segments"]] == [len(TEXT)]
    assert frame["payload_bytes"] == frame["segments"][0]["payload_bytes"] < compressed_bytes


def test_info_of_a_pipe_equals_that_of_the_file(run: Run, frame_file: Path) -> None:
    of_file = json.loads(run("info", frame_file, "--json").stdout)
    of_pipe = json.loads(run("info", "-", "--json", stdin=frame_file.read_bytes()).stdout)
    assert {**of_pipe, "name": of_file["name"]} == of_file


def test_info_as_text_names_model_and_sizes(run: Run, frame_file: Path) -> None:
    text = run("info", frame_file).stdout.decode()
    for part in ("tiny (at hand)", "coded", f"{len(TEXT):,}", f"{frame_file.stat().st_size:,}"):
        assert part in text


def test_info_tells_that_a_model_is_missing(
    run: Run, frame_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMCOMPRESS_MODELS")

    told = json.loads(run("info", frame_file, "--json").stdout)

    assert told["frames"][0]["model_at_hand"] is False
    assert told["adjusted_compression_rate"] is None
    assert b"not at hand" in run("info", frame_file).stdout


def test_info_of_an_empty_file_has_no_rates(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    run("compress", tmp_path / "empty", "-m", "tiny")

    told = json.loads(run("info", tmp_path / "empty.lmc", "--json").stdout)

    assert (told["raw_bytes"], told["bits_per_byte"]) == (0, None)
    assert run("info", tmp_path / "empty.lmc").code == 0


def test_score_is_the_librarys_and_claims_no_compressed_bytes(
    run: Run, text_file: Path, tiny_model: Model
) -> None:
    expected = library.score(TEXT, tiny_model)

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


def test_models_lists_what_is_at_hand(run: Run, tiny_model: Model) -> None:
    rows = {row["name"]: row for row in json.loads(run("models", "--json").stdout)}

    config = tiny_model.weights.config
    expected = {
        "name": "tiny",
        "default": False,
        "num_parameters": config.num_parameters,
        "model_bytes": (tiny_model.folder / "model.safetensors").stat().st_size,
        "context_length": 32,
        "fingerprint": tiny_model.fingerprint.hex(),
        "trained_on": [],
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


def test_bench_prints_a_table_of_rates_and_one_of_speeds(run: Run, text_file: Path) -> None:
    result = run("bench", text_file, "--codecs", "gzip", "--models", "none")

    assert result.code == 0
    for part in ("bits per byte", "compress kB/s", "gzip-9"):
        assert part in result.stdout.decode()


def test_bench_refuses_an_existing_output_before_the_work(run: Run, text_file: Path) -> None:
    csv = text_file.with_name("out.csv")
    csv.write_text("precious")
    argv = ["bench", text_file, "--codecs", "gzip", "--models", "none", "--csv", csv]

    assert_one_line_error(run(*argv), "out.csv exists: pass -f to overwrite")
    assert csv.read_text() == "precious"
    assert run(*argv, "-f").code == 0
    assert "gzip-9" in csv.read_text()


def test_bench_of_neither_file_nor_corpus_is_one_line(run: Run) -> None:
    result = run("bench", "canterbury/alice30.txt", "--models", "none")
    assert_one_line_error(result, "no such file", "canterbury/alice29.txt")


def test_demo_ends_with_a_table_and_a_plot(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_bench, "DEFAULT_MODEL", "tiny")
    monkeypatch.setattr(cli_bench, "DEMO_BYTES", 2000)

    result = run("demo")

    assert result.code == 0
    for part in ("first 2,000 bytes", "tiny", "gzip-9", str(cli_bench.DEMO_PLOT)):
        assert part in result.stdout.decode()
    assert "not trained on it" not in result.stdout.decode()
    assert "<svg" in cli_bench.DEMO_PLOT.read_text()


# Help and options


@pytest.mark.parametrize("command", lmcompress.commands)
def test_help_of_each_command_has_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert f"Example: lmcompress {command}" in result.stdout.decode()


def test_help_tells_the_default_segment_size(run: Run) -> None:
    default = f"{DEFAULT_SEGMENT_BYTES >> 20}M (the default)"
    assert default in " ".join(run("compress", "--help").stdout.decode().split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("64K", 65536), ("64k", 65536), ("16MiB", 1 << 24), ("1G", 1 << 30), ("7B", 7)],
)
def test_byte_counts_take_binary_suffixes(text: str, expected: int) -> None:
    assert byte_count(text) == expected


def test_name_that_is_not_utf_8_can_be_used(run: Run, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff"
    try:
        with open(path, "wb") as output:
            output.write(TEXT)
    except OSError:
        pytest.skip("file system takes UTF-8 names only")
    name = os.fsdecode(path)

    assert run("compress", name, "-m", "tiny").code == 0
    assert run("info", f"{name}.lmc").code == 0
    assert run("decompress", f"{name}.lmc", "-c").stdout == TEXT
