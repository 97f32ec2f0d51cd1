"""The command line where something is wrong: one line, exit code 1, no output left behind."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from lmcompress.cli.main import lmcompress
from tests.support.command_line import TEXT, Run, assert_one_line_error, names


def test_existing_output_is_refused_without_force(run: Run, text_file: Path) -> None:
    frame = text_file.with_name("book.txt.lmc")
    frame.write_bytes(b"precious")

    refused = run("compress", text_file, "-m", "tiny")

    assert_one_line_error(refused, "book.txt.lmc exists: pass -f")
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


def test_nothing_but_the_suffix_asks_for_a_name(run: Run, frame_file: Path) -> None:
    bare = frame_file.rename(frame_file.with_name(".lmc"))

    assert_one_line_error(run("decompress", bare), "nothing is left without .lmc", "-o OUT")
    assert run("decompress", bare, "-c").stdout == TEXT


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


def test_error_with_one_file_does_not_stop_the_others(run: Run, tmp_path: Path) -> None:
    for name in ("a", "c"):
        (tmp_path / name).write_bytes(TEXT)

    result = run("compress", *(tmp_path / name for name in "abc"), "-m", "tiny")

    assert_one_line_error(result, f"{tmp_path / 'b'}: No such file or directory")
    assert names(tmp_path) == ["a", "a.lmc", "c", "c.lmc"]


@pytest.mark.parametrize("command", ["compress", "decompress", "test"])
def test_folder_is_an_input_with_r_only(run: Run, tmp_path: Path, command: str) -> None:
    assert_one_line_error(run(command, tmp_path), f"{tmp_path}: it is a folder: pass -r")


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


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_an_empty_output_name_is_wrong_usage(run: Run, text_file: Path, command: str) -> None:
    result = run(command, text_file, "-o", "")

    assert result.code == 2
    assert "-o has an empty name" in result.stderr


@pytest.mark.parametrize("command", ["decompress", "test"])
def test_damaged_payload_is_one_line_and_leaves_no_output(
    run: Run, frame_file: Path, command: str
) -> None:
    frame = bytearray(frame_file.read_bytes())
    frame[len(frame) // 2] ^= 1
    frame_file.write_bytes(frame)

    assert_one_line_error(run(command, frame_file), "damaged", "decompress --salvage")
    assert names(frame_file.parent) == ["book.txt.lmc"]


def test_missing_model_lists_those_known(run: Run, text_file: Path) -> None:
    result = run("compress", text_file, text_file, "-m", "tinny")

    assert_one_line_error(result, "no model 'tinny'", "did you mean tiny?", "known are")
    assert names(text_file.parent) == ["book.txt"]


@pytest.mark.parametrize("command", ["compress", "fetch"])
def test_a_name_as_the_hubs_pages_spell_it_is_told_with_its_prefix(
    run: Run, text_file: Path, command: str
) -> None:
    wanted = (text_file, "-m", "Owner/Some-1.7B") if command == "compress" else ("Owner/Some-1.7B",)

    assert_one_line_error(run(command, *wanted), "did you mean hf:Owner/Some-1.7B?")


@pytest.mark.parametrize(
    "description",
    [
        '{"format": "exact", "config": {"n_layer": "4"}, "card": {}}',
        '{"format": "exact", "config": {}, "card": {}, "fingerprint": 5}',
        '{"format": "exact", "config": {}, "card": {"name": 5}}',
        '{"format": "exact", "config": {}, "card": {"trained_on": 5}}',
        '{"format": ' + "[" * 100_000,
        '{"format": "exact", "config": {}, "card": []}',
        '{"format": "exact", "config": {}, "card": {}}',
        "{",
    ],
)
def test_broken_model_is_one_line_and_hides_no_other(
    run: Run, text_file: Path, tmp_path: Path, description: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "models" / "broken"
    broken.mkdir(parents=True)
    (broken / "model.json").write_text(description)
    monkeypatch.setenv(
        "LMCOMPRESS_MODELS", f"{broken.parent}{os.pathsep}{os.environ['LMCOMPRESS_MODELS']}"
    )

    assert_one_line_error(run("compress", text_file, "-m", "broken"), "broken")
    listed = run("models")
    assert listed.code == 0
    assert b"tiny" in listed.stdout
    assert f"left out {broken}" in listed.stderr


def test_file_of_a_missing_model_is_one_line_and_leaves_no_output(
    run: Run, frame_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LMCOMPRESS_MODELS")

    assert_one_line_error(run("decompress", frame_file), "model 'tiny'", "not installed")
    assert names(frame_file.parent) == ["book.txt.lmc"]


def test_verbose_shows_where_an_error_came_from(run: Run, tmp_path: Path) -> None:
    argv = ["compress", tmp_path / "none", "-m", "tiny"]
    assert "Traceback" in run("-v", *argv).stderr
    assert "Traceback" in run(*argv, "-v").stderr
    assert_one_line_error(run(*argv))
    assert logging.getLogger("lmcompress").handlers == []


class TooLarge(io.RawIOBase):
    """A stream that there is no memory to read."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: object) -> int:
        raise MemoryError


OUT_OF_MEMORY = "not enough memory: use smaller --segment-bytes, fewer --lanes or a smaller model"


@pytest.mark.parametrize(
    "argv", [("compress", "-m", "tiny", "-o", "out"), ("test",)], ids=["compress", "test"]
)
def test_lack_of_memory_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(TooLarge())))

    assert_one_line_error(run(*argv, "-"), f"-: {OUT_OF_MEMORY}")
    assert names(tmp_path) == []


def test_lack_of_memory_outside_a_file_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def greedy() -> None:
        raise MemoryError

    monkeypatch.setitem(lmcompress.commands, "greedy", greedy)

    assert_one_line_error(run("greedy"), OUT_OF_MEMORY)
