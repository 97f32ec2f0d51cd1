"""A shell completes commands, options, files and models."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command_line import Run


@pytest.fixture
def completed(run: Run, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Returns what bash is offered at the end of a line: kind and value."""

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("_LMCOMPRESS_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        return run().stdout.decode().split()

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lmcompress deco", "plain,decompress"),
        ("lmcompress compress -m ti", "plain,tiny"),
        ("lmcompress decompress --model non", "plain,none"),
        ("lmcompress compress --segm", "plain,--segment-bytes"),
        ("lmcompress compress bo", "file,bo"),
        ("lmcompress compress -o bo", "file,bo"),
        ("lmcompress info bo", "file,bo"),
        ("lmcompress bo", "file,bo"),
        ("lmcompress -d bo", "file,bo"),
        ("lmcompress -9 -m ti", "plain,tiny"),
    ],
)
def test_a_line_is_completed(completed, line: str, offered: str) -> None:  # type: ignore[no-untyped-def]
    assert offered in completed(line)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(run: Run, tmp_path: Path, shell: str) -> None:
    result = run("completion", shell)

    assert result.code == 0
    assert f"_LMCOMPRESS_COMPLETE={shell}_complete" in result.stdout.decode()
    if program := shutil.which(shell):
        (tmp_path / "script").write_bytes(result.stdout)
        subprocess.run([program, "-n", tmp_path / "script"], check=True)
