"""Children end when their parent does, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmcompress.system.children import run_module

PARENT = """
from lmcompress.system.children import run_module
run_module("sleeper", [], {}, shows_output=False)
"""
SLEEPER = """
import os, time
with open("pid.new", "w") as file:
    file.write(str(os.getpid()))
os.replace("pid.new", "pid")
time.sleep(100)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # one that ended stays until somebody waits for it
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def until(happens: object, seconds: float = 60) -> None:
    assert callable(happens)
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX's signals")
def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}{os.pathsep}{tmp_path}"}
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path, env=environment) as parent:
        until((tmp_path / "pid").exists)
        child = int((tmp_path / "pid").read_text())
        assert is_alive(child)

        parent.send_signal(signal.SIGKILL)

    until(lambda: not is_alive(child))


def test_a_child_gets_its_arguments_and_says_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os, sys\nsys.stderr.write(f\"{sys.argv[1:]} {os.environ['WHO']}\")\nsys.exit(3)"
    )
    (tmp_path / "speaker.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    found = run_module("speaker", ["a", "b c"], {"WHO": "me"}, shows_output=False)

    assert found == (3, "['a', 'b c'] me")
