"""Predictors that misbehave give one line each and leave nothing behind."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lmcompress.errors import NotProvenError
from tests.support.predictors import SETTINGS, TEXT, UNIFORM, proven, write

AT_100 = """
class Predictor(Uniform):
    def reset(self):
        super().reset()
        self.at = 0
    def push(self, symbol):
        self.at += 1
        if self.at == 100:
            self.misbehave()
    def misbehave(self):
"""
WHERE = r" \(encoding, at symbol 99, byte 99\)$"

MANNERS = {
    "raises": (
        "raise ValueError('two\\nlines')",
        "it raised ValueError in line 22 of predictor.py: two lines",
    ),
    "exits": ("raise SystemExit(0)", "it raised SystemExit in line 22 of predictor.py: 0"),
    "exits-at-once": ("import os; os._exit(0)", "it ended its process, with status 0"),
    "kills-itself": ("import os, signal; os.kill(os.getpid(), 9)", r"may not do: os\.kill"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "it ended its process, with signal 11"),
    "interrupts": ("raise KeyboardInterrupt", "it raised KeyboardInterrupt in line 22"),
    "reads": ("open('/etc/shadow')", "it tried what a decoder may not do: open /etc/shadow"),
    "reads-and-swallows": (
        "\n        try: open('/etc/shadow')\n        except OSError: pass",
        "it tried what a decoder may not do: open /etc/shadow",
    ),
    "writes": ("open('/tmp/left-by-a-test', 'w')", "may not do: open /tmp/left-by-a-test"),
    "writes-into-its-folder": ("open('left-by-a-test', 'w')", "may not do: open .*/left-by-a-test"),
    "starts-a-process": ("import os; os.system('true')", r"may not do: os\.system"),
    "forks": ("import os; os.fork()", r"may not do: os\.fork"),
    "connects": (
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        r"may not do: socket\.getaddrinfo|PermissionError",
    ),
    "recurses": ("self.misbehave()", "it raised RecursionError in line 22"),
    "out-of-memory": ("raise MemoryError", "it raised MemoryError in line 22"),
}


@pytest.mark.parametrize(("body", "message"), MANNERS.values(), ids=MANNERS.keys())
def test_bad_manners_are_one_line(
    tmp_path: Path, body: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    with pytest.raises(NotProvenError, match=message) as caught:
        proven(tmp_path, f"{UNIFORM}{AT_100}        {body}\n")

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert list((tmp_path / "temporary").iterdir()) == []
    assert [path.name for path in (tmp_path / "predictor").iterdir()] == ["predictor.py"]


def test_the_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotProvenError, match=WHERE):
        proven(tmp_path, f"{UNIFORM}{AT_100}        raise ValueError\n")


@pytest.mark.parametrize("wait", ["while True: pass", "import time; time.sleep(3600)"])
def test_a_predictor_that_hangs_is_stopped(tmp_path: Path, wait: str) -> None:
    limited = dataclasses.replace(SETTINGS, time_limit=3.0)
    source = f"{UNIFORM}{AT_100}        {wait}\n"
    started = time.monotonic()

    with pytest.raises(NotProvenError, match=r"it took longer than 3 s.*: see --time-limit"):
        proven(tmp_path, source, settings=limited)

    assert time.monotonic() - started < 60
    assert children() == []


def test_threads_that_it_leaves_running_end(tmp_path: Path) -> None:
    body = "import threading, time; threading.Thread(target=time.sleep, args=(3600,)).start()"

    assert proven(tmp_path, f"{UNIFORM}{AT_100}        {body}\n").bits_per_byte > 8
    assert children() == []


def test_what_it_prints_goes_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    body = "import os; print('noise'); os.write(1, b'noise'); os.write(2, b'noise')"

    proven(tmp_path, f"{UNIFORM}{AT_100}        {body}\n")

    assert capfd.readouterr() == ("", "")


def test_arrays_of_other_types_are_taken_if_they_are_floats(tmp_path: Path) -> None:
    kinds = "[np.float16, np.float32, np.longdouble, np.float64]"
    source = f"""{UNIFORM}
class Predictor(Uniform):
    def reset(self):
        super().reset()
        self.at = 0
    def push(self, symbol):
        self.at += 1
    def probabilities(self):
        row = self.row.astype({kinds}[self.at % 4])
        return [row, row.tolist(), np.ma.array(row), row[::-1]][self.at // 4 % 4]
"""
    assert proven(tmp_path, source).ideal_bits_per_byte == pytest.approx(8)


FORGED = {
    "a-text": ("{'count': 0}", "meddles with the coder"),
    "a-count": ("{'count': -1}", "did not answer as it should"),
    "a-number-as-text": ("{'count': '9'}", "did not answer as it should"),
    "modules": ("{'modules': [[]]}", "did not answer as it should"),
    "a-list": ("[]", "did not answer as it should"),
}


@pytest.mark.parametrize(("head", "message"), FORGED.values(), ids=FORGED.keys())
def test_forging_the_answer_gives_nothing(tmp_path: Path, head: str, message: str) -> None:
    """What it writes into the file of the answer is not what the parent believes."""
    source = f"""{UNIFORM}
import json, os
class Predictor(Uniform):
    def probabilities(self):
        head = {head}
        if isinstance(head, dict):
            head = {{"refused": [], "refused_imports": [], "modules": [], **head}}
        head = json.dumps(head)
        for descriptor in range(3, 64):
            try:
                os.pwrite(descriptor, head.encode() + b"\\n" + {TEXT!r}, 0)
            except OSError:
                pass
        os._exit(0)
"""
    with pytest.raises(NotProvenError, match=message):
        proven(tmp_path, source)


def test_forging_the_tokens_gives_nothing(tmp_path: Path) -> None:
    """The answer says too little, and its symbols are not the text."""
    source = f"""{UNIFORM}
import json, os
class Predictor(Uniform):
    def tokenize(self, raw):
        head = json.dumps({{"refused": [], "refused_imports": [], "modules": []}}).encode()
        for descriptor in range(3, 64):
            try:
                os.pwrite(descriptor, head + b"\\n" + bytes(4), 0)
            except OSError:
                pass
        os._exit(0)
"""
    with pytest.raises(NotProvenError, match="the decoder's bytes differ at byte 0"):
        proven(tmp_path, source)


@pytest.mark.usefixtures("sigint_heeded")
def test_an_interrupted_proof_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C ends the predictor's process, too."""
    predictor = write(tmp_path, f"{UNIFORM}{AT_100}        import time; time.sleep(3600)\n")
    text, temporary = write(tmp_path, TEXT.decode(), "../text.txt"), tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "lmcompress", "prove", str(predictor), str(text)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not grandchildren(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)

    process.send_signal(2)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert errors.strip() == b"lmcompress: interrupted"
    assert list(temporary.iterdir()) == []


def children() -> list[str]:
    return grandchildren(os.getpid())


def grandchildren(pid: int) -> list[str]:
    """Returns its processes that prove; -ww, since they have long command lines."""
    found = subprocess.run(
        ["ps", "-ww", "-o", "args=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in found.stdout.splitlines() if "prove" in line]
