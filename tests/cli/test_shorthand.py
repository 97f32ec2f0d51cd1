"""`lmcompress` without a command does what gzip, xz and zstd would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lmcompress
from lmcompress.cli import main as program
from lmcompress.cli.shorthand import translated
from tests.support.command_line import TEXT, Run, assert_one_line_error, names


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book").write_bytes(TEXT)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-d", "decompress"),
        ("-z", "compress"),
        ("-t x.lmc", "test x.lmc"),
        ("-l x.lmc y.lmc", "info --table x.lmc y.lmc"),
        ("--decompress --stdout x.lmc", "decompress --stdout x.lmc"),
        ("--uncompress x.lmc", "decompress x.lmc"),
        ("--test x.lmc", "test x.lmc"),
        ("--list x.lmc", "info --table x.lmc"),
        ("-dc x.lmc", "decompress -c x.lmc"),
        ("-dkf x.lmc", "decompress -k -f x.lmc"),
        ("x.lmc -d", "decompress x.lmc"),
        ("book", "compress book"),
        ("book -9c", "compress book -9 -c"),
        ("-9 -c book", "compress -9 -c book"),
        ("-c book", "compress -c book"),
        ("-", "compress -"),
        ("-T0 book", "compress -T0 book"),
        ("-cT 2 book", "compress -c -T 2 book"),
        ("-cdmnone x", "decompress -c -mnone x"),
        ("-o -d book", "compress -o -d book"),
        ("-m info book", "compress -m info book"),
        ("-d info", "decompress info"),
        ("-- -d", "compress -- -d"),
        ("-d -- -d", "decompress -- -d"),
        ("-dz x", "compress x"),
        ("-zd x", "decompress x"),
        ("-9 --lanes 4 --segment-bytes=1M -d x", "decompress x"),
        ("-m none -d", "decompress -m none"),
        ("-tq9fk x", "test -q x"),
        ("-dv x", "-v decompress x"),
        ("-v book", "-v compress book"),
        ("-d --help", "decompress --help"),
        ("-9 compress book", "compress -9 book"),
        ("--json models", "models --json"),
        ("-dX x", "decompress -X x"),
    ],
)
def test_a_line_gets_its_command(line: str, expected: str) -> None:
    assert translated(line.split(), program.lmcompress) == expected.split()


@pytest.mark.parametrize(
    "line",
    [
        "compress book -m none", "decompress -d x", "info x", "-v models", "--help", "-h", "-V",
        "--version", "compres book", "bok", "book.lmc -9", "bench -9", "test -l",
    ],
)  # fmt: skip
def test_a_line_that_has_its_command_or_none_that_fits_stays(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmcompress.cli.shorthand.is_stdin_piped", lambda: False)
    assert translated(line.split(), program.lmcompress) == line.split()


def test_nothing_is_a_filter_in_a_pipe_and_help_on_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for raw in (b"", TEXT):
        frame = run("-1", stdin=raw).stdout
        assert run("-d", stdin=frame) == (0, raw, "")
        assert run("-t", stdin=frame) == (0, b"", "")

    monkeypatch.setattr("lmcompress.cli.shorthand.is_stdin_piped", lambda: False)
    shown = run()
    assert "Commands:" in shown.stdout.decode() + shown.stderr


def test_files_round_trip_without_a_command(run: Run, tmp_path: Path) -> None:
    assert run("-1", "--rm", "book") == (0, b"", "")
    assert names(tmp_path) == ["book.lmc"]
    assert run("-t", "book.lmc") == (0, b"", "")
    assert b"frames" in run("-l", "book.lmc").stdout
    assert run("-dc", "book.lmc") == (0, TEXT, "")
    assert run("-d", "book.lmc", "--rm").code == 0
    assert names(tmp_path) == ["book"]
    assert_one_line_error(run("-d", "book"), "does not end in .lmc")


@pytest.mark.parametrize("word", ["compres", "decompres", "infos"])
def test_a_mistyped_command_is_told(run: Run, word: str) -> None:
    result = run(word, "book")

    assert (result.code, result.stdout) == (2, b"")
    assert f"No such command or file '{word}'" in result.stderr
    assert "id you mean" in result.stderr


@pytest.fixture
def program_on_path(tmp_path: Path, tiny_model_root: Path) -> dict[str, str]:
    """An environment in which `lmcompress` is a program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "lmcompress"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lmcompress "$@"\n')
    script.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(lmcompress.__file__).parents[1]),
        "LMCOMPRESS_MODELS": str(tiny_model_root),
    }


def gnu_tar() -> str | None:
    path = shutil.which("tar")
    if path is None:
        return None
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return path if "GNU tar" in version.stdout else None


@pytest.mark.skipif(gnu_tar() is None, reason="needs GNU tar")
def test_tar_packs_and_unpacks(program_on_path: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(TEXT)
    (tmp_path / "out").mkdir()

    for packer, *argv in (
        ["lmcompress -m none", "-cf", "x.tar.lmc", "folder"],
        ["lmcompress -1", "-C", "out", "-xf", "x.tar.lmc"],
    ):
        command = ["tar", "-I", packer, *argv]
        done = subprocess.run(command, env=program_on_path, cwd=tmp_path, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")

    assert (tmp_path / "x.tar.lmc").read_bytes().startswith(b"\x89LMC")
    assert (tmp_path / "out" / "folder" / "file").read_bytes() == TEXT
