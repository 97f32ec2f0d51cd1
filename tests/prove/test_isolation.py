"""A predictor that reads the text, or leaves it for the decoder, is left with its true figure."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmcompress.errors import NotProvenError
from lmcompress.prove import landlock, seccomp
from tests.support.predictors import ORACLE, SETTINGS, proven

HOOK_ONLY = dataclasses.replace(SETTINGS, kernel=False)
HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")

needs_landlock = pytest.mark.skipif(
    landlock.version() < landlock.SUFFICIENT, reason="needs Landlock 3 (Linux 6.2)"
)
needs_seccomp = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="needs seccomp on x86-64"
)

READERS = {
    "open-in-C": """
        descriptor = libc.open(TEXT, os.O_RDONLY)
        return os.read(descriptor, 1 << 20) if descriptor >= 0 else b""
""",
    "fopen-in-C": """
        libc.fopen.restype = ctypes.c_void_p
        file, buffer = libc.fopen(TEXT, b"rb"), ctypes.create_string_buffer(1 << 20)
        if not file:
            return b""
        count = libc.fread(buffer, 1, 1 << 20, ctypes.c_void_p(file))
        return buffer.raw[:count]
""",
    "mapped-by-torch": """
        import torch
        try:
            return bytes(torch.from_file(TEXT.decode(), size=318, dtype=torch.uint8).tolist())
        except RuntimeError:
            return b""
""",
    "read-by-tokenizers": """
        import tokenizers
        try:
            tokenizers.Tokenizer.from_file(TEXT.decode())
        except Exception as exc:  # "No such file" or "expected value at line 1": it was opened
            return open_text if "expected" in str(exc) else b""
""",
    "a-program": """
        import _posixsubprocess
        near, far = os.pipe()
        try:
            _posixsubprocess.fork_exec(
                [b"/bin/cat", TEXT], [b"/bin/cat"], True, (), None, None, -1, -1, -1, far, -1, -1,
                near, far, False, False, -1, None, None, None, -1, None, True)
        except OSError:
            return b""
        os.close(far)
        return os.read(near, 1 << 20)
""",
    "environment-of-the-parent": """
        path = b"/proc/%d/environ" % os.getppid()
        descriptor = libc.open(path, os.O_RDONLY)
        found = os.read(descriptor, 1 << 20) if descriptor >= 0 else b""
        return found.partition(b"PROVEN_TEXT=")[2].partition(bytes(1))[0]
""",
    "inherited-descriptors": """
        for descriptor in range(64):
            try:
                found = os.pread(descriptor, 1 << 20, 0)
            except OSError:
                continue
            if b"best of times" in found:
                return found
        return b""
""",
}
"""Each looks for the text where it lies; `libc` is C's library, by ctypes."""

BLIND = ("open-in-C", "fopen-in-C", "mapped-by-torch", "a-program")
"""Those that get away with it where there is only the hook."""


def source(steal: str, folder: Path) -> str:
    path = os.fsencode(folder / "text.txt")
    names = f"TEXT, open_text = {path!r}, b'It was'"
    return f"{ORACLE}\n{names}\nclass Predictor(Oracle):\n    def steal(self):\n{steal}"


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize("steal", READERS.values(), ids=READERS.keys())
def test_who_reads_the_text_outside_python_gets_the_true_figure(
    tmp_path: Path, steal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVEN_TEXT", "It was the best of times, it was the worst of times. " * 6)

    found = proven(tmp_path, source(steal, tmp_path))

    assert found.bits_per_byte > 8
    assert found.isolation["level"] == f"Landlock {landlock.version()} and seccomp"


@pytest.mark.skipif(sys.platform != "linux", reason="the libraries are those of Linux")
@pytest.mark.parametrize("name", BLIND)
def test_the_hook_alone_is_blind_and_says_so(tmp_path: Path, name: str) -> None:
    """The same cheats work without the kernel: what the others test is the kernel's work.

    Where the text lies, the kernel says that it was opened; a copy elsewhere escapes that.
    """
    (tmp_path / "copy.txt").write_bytes(
        b"It was the best of times, it was the worst of times. " * 6
    )
    cheat = source(READERS[name], tmp_path)
    with pytest.raises(NotProvenError, match="somebody opened the text"):
        proven(tmp_path, cheat, settings=HOOK_ONLY)

    found = proven(tmp_path, cheat.replace("text.txt", "copy.txt"), settings=HOOK_ONLY)

    assert found.bits_per_byte < 0.2
    assert found.isolation["level"].startswith("audit hook only (weak")


CHANNELS = {
    "shared-memory": """
        key = libc.shmget(0x4C4D43, 4096, 0o1666)
        libc.shmat.restype = ctypes.c_void_p
        where = libc.shmat(key, None, 0) if key >= 0 else 0
        if not where:
            return b""
        if text:
            ctypes.memmove(where, text, len(text))
        return ctypes.string_at(where, 318)
""",
    "file-of-everybody": """
        flags = os.O_RDWR | os.O_CREAT
        descriptor = libc.open(b"/dev/shm/lmcompress-prove-test", flags, 0o666)
        if descriptor < 0:
            return b""
        if text:
            os.write(descriptor, text)
            os.lseek(descriptor, 0, 0)
        return os.read(descriptor, 318)
""",
    "time-of-a-file": """
        path = os.path.realpath(np.__file__).encode()
        word = int.from_bytes(text[:7], "little")
        times = (ctypes.c_long * 4)(word // 10**9, word % 10**9, word // 10**9, word % 10**9)
        if text and libc.utimensat(-100, path, times, 0):
            return b""
        found = os.stat(path).st_mtime_ns.to_bytes(8, "little")[:7]
        return found if found.startswith(b"It") else b""
""",
    "limits-of-the-parent": """
        limits = (ctypes.c_ulong * 2)(int.from_bytes(text[:6], "little"), 2**64 - 1)
        new = limits if text else None
        old = (ctypes.c_ulong * 2)()
        if libc.syscall(302, os.getppid(), 12, new, old):
            return b""
        return (text or int(old[0]).to_bytes(8, "little"))[:6]
""",
    "keyring": """
        if text:
            number = libc.syscall(248, b"user", b"lmcompress-prove", text, len(text), -4)
        else:
            number = libc.syscall(249, b"user", b"lmcompress-prove", None, 0)
        buffer = ctypes.create_string_buffer(318)
        return buffer.raw if number >= 0 and libc.syscall(250, 11, number, buffer, 318) > 0 else b""
""",
    "process-that-stays": """
        return text if libc.fork() > 0 else b""
""",
    "own-folder": """
        path = os.path.join(os.path.dirname(__file__), "text").encode()
        descriptor = libc.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if descriptor < 0:
            return b""
        os.write(descriptor, text)
        return os.pread(descriptor, 318, 0)
""",
    "mark-on-a-file": """
        import fcntl
        hint = (ctypes.c_ulong * 1)(3)
        with open(np.__file__, "rb") as file:
            return text if libc.fcntl(file.fileno(), 1036, hint) == 0 else b""
""",
}
"""Each leaves the encoder's text for the decoder, and is certain of it only if that works."""


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize("leave", CHANNELS.values(), ids=CHANNELS.keys())
def test_what_an_encoder_would_leave_is_refused(tmp_path: Path, leave: str) -> None:
    cheat = f"        text = text_to_encode()\n{leave}"

    found = proven(tmp_path, source(cheat, tmp_path))

    assert found.bits_per_byte > 8


@needs_landlock
@needs_seccomp
def test_models_of_the_package_cannot_be_read(tmp_path: Path) -> None:
    """They would not be counted."""
    steal = """
        import lmcompress
        path = os.path.dirname(lmcompress.__file__) + "/models/embedded/lmc-3m/model.safetensors"
        assert os.path.exists(path)
        return b"It was" if libc.open(path.encode(), os.O_RDONLY) >= 0 else b""
"""
    assert proven(tmp_path, source(steal, tmp_path)).bits_per_byte > 8


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize(
    "attempt",
    [
        "socket.socket()",
        "socket.socketpair()",
        "os.open('/dev/shm/x', os.O_CREAT | os.O_RDWR)",
        "os.kill(os.getppid(), 0)",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "os.sched_setaffinity(os.getppid(), [0])",
        "os.chmod(ctypes.__file__, 0o644)",
        "socket.sethostname('x')",
        "ctypes.CDLL(None, use_errno=True).pidfd_open(os.getppid(), 0) >= 0 or fail()",
    ],
)
def test_the_kernel_refuses(attempt: str) -> None:
    """In a child that has no hook, so that only the kernel can say no."""
    program = f"""
import ctypes, os, socket
from lmcompress.prove import landlock, seccomp
def fail():
    raise PermissionError
landlock.restrict(["/usr", "/lib"], [], [])
seccomp.restrict()
try:
    {attempt}
except PermissionError:
    print("refused")
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout == "refused\n"


@needs_seccomp
def test_threads_and_own_limits_still_work() -> None:
    program = """
import os, resource, signal, threading
from lmcompress.prove import seccomp
seccomp.restrict()
done = []
thread = threading.Thread(target=lambda: done.append(1))
thread.start(); thread.join()
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.kill(os.getpid(), 0)
os.sched_setaffinity(0, os.sched_getaffinity(0))
print(done)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout == "[1]\n"


@pytest.mark.skipif(not HEADER.exists(), reason="needs the kernel's headers")
def test_numbers_of_calls_are_those_of_the_kernel() -> None:
    numbers = {
        name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)", HEADER.read_text())
    }
    ours = {**seccomp.DENIED, **seccomp.OWN_ONLY, **seccomp.ALLOWED_NEW, "clone": seccomp.CLONE}
    ours |= {name: number for name, (number, _) in seccomp.MARKS.items()}

    assert {name: numbers.get(name, number) for name, number in ours.items()} == ours
