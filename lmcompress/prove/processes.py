"""Runs a predictor in a process of its own, which starts clean and leaves nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lmcompress.errors import NotProvenError
from lmcompress.prove.loading import CODEC, PREDICTOR
from lmcompress.prove.steps import PLACE, unpack_steps
from lmcompress.system.cache import cache_home

_ROOT = Path(__file__).parents[2]
_START = (
    "import json, sys; sys.path.insert(0, sys.argv[1]); "
    "from lmcompress.prove.child import main; main(json.loads(sys.argv[2]))"
)
_CACHES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "HF_HOME")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_POLL_SECONDS = 0.005
_WHOLE = {"tokenize": "tokenized", "compress": "compressed", "decompress": "decompressed"}
"""Roles that take no single steps, and what a process did in them."""
_UNSAID = {"kind": PREDICTOR, "count": 0, "vocab_size": 0, "replaced_bytes": 0}
"""Facts that a process need not state, and those that one which forges its answer leaves out."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A predictor or codec where it lies, ready to be run."""

    folder: Path
    """Its folder, without symbolic links; for a package, that of the package itself."""
    entry: str
    """The name of its file there, or `package.module`."""
    uses_kernels: bool = False
    """Whether it gets a copy of our compiled kernels, which would take half a minute to compile."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the processes run; the same for all of one proof."""

    normalise: bool = False
    time_limit: float = 3600.0
    """Seconds for each process."""
    threads: int = 1
    """A sum's order, and with it the last bits, may depend on their number."""
    kernel: bool = True
    """Whether the kernel's guards are armed where there are some; tests turn them off."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came out of a process. Only the guards are known to be true."""

    facts: dict[str, Any]
    guards: dict[str, Any]
    seconds: float
    peak_bytes: int
    bits: npt.NDArray[np.float64]
    checks: npt.NDArray[np.uint32]
    data: bytes


def run(role: str, subject: Subject, data: bytes, settings: Settings) -> Answer:
    """Runs a process in one of the roles of roles.py on `data`.

    Raises:
      NotProvenError: If it fails, hangs, ends early, or tries what it must not; says where.
    """
    if sys.platform == "win32":
        raise NotProvenError("prove needs Linux or macOS: processes cannot be guarded here")
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        scratch = os.path.realpath(stack.enter_context(tempfile.TemporaryDirectory()))
        source, answer, place = files
        if subject.uses_kernels:
            _copy_kernels(Path(scratch))
        source.write(data)
        source.seek(0)
        place.write(bytes(PLACE.size))
        place.flush()
        started = time.monotonic()
        with _started(role, subject, settings, files, scratch) as (process, report):
            status, peak = _wait(process, started + settings.time_limit)
            guards = _guards(report)
        where = _where(role, place)
        if status is None:
            raise NotProvenError(
                f"it took longer than {settings.time_limit:g} s{where}: see --time-limit"
            )
        answer.seek(0)
        head, _, blob = answer.read().partition(b"\n")
        return _parsed(head, blob, status, where, guards, time.monotonic() - started, peak)


@contextlib.contextmanager
def _started(
    role: str, subject: Subject, settings: Settings, files: Sequence[IO[bytes]], scratch: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yields the process and the pipe of its guards' report; kills it, and all it started."""
    source, answer, place = files
    report, report_out = os.pipe()
    job = {
        "role": role, "folder": str(subject.folder), "entry": subject.entry, "scratch": scratch,
        "normalise": settings.normalise, "kernel": settings.kernel,
        "answer": answer.fileno(), "place": place.fileno(), "report": report_out,
    }  # fmt: skip
    flags = ["-s", "-P", "-B"]  # no packages of the user's own, nothing from here, no bytecode
    process = subprocess.Popen(
        [sys.executable, *flags, "-c", _START, str(_ROOT), json.dumps(job)],
        stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=_environment(scratch, settings.threads), cwd=subject.folder, start_new_session=True,
        pass_fds=(answer.fileno(), place.fileno(), report_out),
    )  # fmt: skip
    os.close(report_out)
    try:
        yield process, report
    finally:
        os.close(report)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _copy_kernels(scratch: Path) -> None:
    """Puts the machine code that is on this machine where the process looks for it."""
    from lmcompress.jit.compiler import sources_digest

    root = os.environ.get("NUMBA_CACHE_DIR") or cache_home() / "kernels"
    with contextlib.suppress(FileNotFoundError):  # then it compiles
        shutil.copytree(Path(root, sources_digest()), scratch / sources_digest())


def _environment(scratch: str, threads: int) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false",
        **dict.fromkeys(_CACHES, scratch), **dict.fromkeys(_THREADS, str(threads)),
    }  # fmt: skip


def _wait(process: subprocess.Popen[bytes], deadline: float) -> tuple[int | None, int]:
    """Returns the exit code, None if it is still running, and its peak of memory in bytes."""
    while time.monotonic() < deadline:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            unit = 1 if sys.platform == "darwin" else 1024
            return process.returncode, usage.ru_maxrss * unit
        time.sleep(_POLL_SECONDS)
    return None, 0


def _guards(report: int) -> dict[str, Any]:
    os.set_blocking(report, False)
    try:
        return dict(json.loads(os.read(report, 1 << 16)))
    except (BlockingIOError, ValueError):
        return {}


def _where(role: str, place: IO[bytes]) -> str:
    if role in _WHOLE:
        return f" (while it {_WHOLE[role]})"
    place.seek(0)
    symbol, byte = PLACE.unpack(place.read(PLACE.size))
    verb = {"encode": "encoding", "decode": "decoding", "score": "scoring"}[role]
    return f" ({verb}, at symbol {symbol}, byte {byte})"


def _check_facts(facts: dict[str, Any]) -> None:
    """Raises TypeError or KeyError unless what a process says has the types that it should."""
    for name in ("refused", "refused_imports", "modules"):
        if not all(isinstance(text, str) for text in facts[name]):
            raise TypeError(f"{name} is {facts[name]!r:.60}")
    for name in ("count", "vocab_size", "replaced_bytes"):
        if not isinstance(facts[name], int) or facts[name] < 0:
            raise TypeError(f"{name} is {facts[name]!r:.60}")
    if facts["kind"] not in (PREDICTOR, CODEC):
        raise TypeError(f"kind is {facts['kind']!r:.60}")


def _parsed(
    head: bytes, blob: bytes, status: int, where: str, guards: dict[str, Any], seconds: float,
    peak: int,
) -> Answer:  # fmt: skip
    if not head or not guards:
        how = f"signal {-status}" if status < 0 else f"status {status}"
        raise NotProvenError(f"it ended its process, with {how}{where}")
    try:
        facts = {**_UNSAID, **json.loads(head)}
        _check_facts(facts)
        if facts["refused"]:
            raise NotProvenError(
                f"it tried what a decoder may not do: {facts['refused'][0]}{where}"
            )
        if "error" in facts:
            raise NotProvenError(f"{facts['error']}{where}")
        count = facts["count"]
        bits, checks = unpack_steps(blob, count)
    except (ValueError, KeyError, TypeError, IndexError) as exc:
        raise NotProvenError(f"its process did not answer as it should{where}: {exc}") from exc
    return Answer(facts, guards, seconds, peak, bits, checks, blob[12 * count :])
