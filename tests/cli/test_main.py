"""The command line: round trips through files and pipes, options, help."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from lmcompress.cli.main import lmcompress
from lmcompress.cli.options import byte_count
from lmcompress.codec.config import DEFAULT_SEGMENT_BYTES
from tests.support.command_line import TEXT, Run, assert_one_line_error, names


def test_files_round_trip(run: Run, tmp_path: Path, awkward_input: bytes) -> None:
    path, awkward_input = tmp_path / "raw", awkward_input[:20_000]
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


def test_size_options_change_the_file_and_need_not_be_repeated(run: Run, text_file: Path) -> None:
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
    assert_one_line_error(run("decompress", frame, "-c"), "made with model 'tiny'")
    assert run("decompress", frame, "-c", "-m", folder).stdout == TEXT
    assert run("test", frame, "-m", folder).code == 0


@pytest.mark.parametrize(
    "argv",
    [
        ["bench"],
        ["compress", ""],
        ["compress", "a", "b", "-o", "c"],
        ["compress", "a", "-o", "b", "-c"],
        ["compress", "a", "--lanes", "many"],
        ["compress", "a", "--lanes", "0"],
        ["compress", "a", "--segment-bytes", "16Q"],
        ["compress", "a", "--segment-bytes", "2G"],
        ["compress", "a", "--threads", "-1"],
        ["compress", "a", "-0"],
        ["compress", "a", "--prompt", "-"],
        ["compress", "a", "--prompt", ""],
        ["compress", "a", "--rm", "-c"],
        ["compress", "-", "--rm"],
        ["completion", "tcsh"],
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


@pytest.mark.parametrize("command", lmcompress.commands)
def test_help_of_each_command_has_an_example(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert f"Example: lmcompress {command}" in result.stdout.decode()


@pytest.mark.parametrize("command", lmcompress.commands)
def test_help_is_prose_without_gaps(run: Run, command: str) -> None:
    """Help text that was indented in the source reads "folder that the     library wrote"."""
    text = run(command, "--help").stdout.decode()
    prose = [text[: text.index("Options:")], lmcompress.commands[command].epilog]
    options = [param for param in lmcompress.commands[command].params if hasattr(param, "help")]
    prose += [(option.help or "").partition("  [default: ")[0] for option in options]

    assert [part for part in prose if re.search(r"\S {2,}\S", part)] == []


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
