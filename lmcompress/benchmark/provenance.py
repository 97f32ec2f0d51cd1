"""Where a measurement came from: commit, versions, command and machine, without names of people."""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import lmcompress
from lmcompress.benchmark.records import RunInfo
from lmcompress.system.cpus import usable_cpus

_CHECKOUT = Path(__file__).resolve().parents[2]
_CODE = ("lmcompress", "experiments", "pyproject.toml")
"""What can change a result; writing results/ must not make the commit look dirty."""
_CPU_INFO = Path("/proc/cpuinfo")
_INSTRUCTIONS = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx2": "AVX2",
    "asimddp": "NEON sdot",
}
"""Linux's name -> ours, the fastest first."""


def utc_now() -> str:
    """Returns the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe_run(command: str | None = None) -> RunInfo:
    """Returns what all records of one execution share.

    Args:
      command: What the user called; by default the process's own arguments.
    """
    commit, is_dirty = _git_state()
    now = utc_now()
    return RunInfo(
        run_id=f"{now.replace('-', '').replace(':', '')}-{secrets.token_hex(3)}",
        git_commit=commit,
        git_dirty=is_dirty,
        lmcompress_version=lmcompress.__version__,
        command=command_line(sys.argv) if command is None else command,
        torch_version=_torch_version(),
        python_version=platform.python_version(),
        machine=machine_name(),
    )


def command_line(argv: Sequence[str]) -> str:
    """Returns a command to paste; absolute paths lose their folders, which are this machine's."""
    return shlex.join(Path(arg).name if Path(arg).is_absolute() else arg for arg in argv)


def machine_name() -> str:
    """Returns architecture, CPU model, usable CPUs and instructions for products; no host name."""
    count = usable_cpus()
    cpus = f"{count} CPU{'s' if count > 1 else ''}"
    parts = (platform.machine(), _cpu_model(), cpus, instructions())
    return ", ".join(part for part in parts if part)


def instructions() -> str:
    """Returns the best instructions of the processor for products of bytes; "" if unknown."""
    flags = {*_cpu_info("flags").split(), *_cpu_info("Features").split()}  # on x86-64, on ARM
    return next((name for flag, name in _INSTRUCTIONS.items() if flag in flags), "")


def _cpu_model() -> str:
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or ""
    return _cpu_info("model name") if _CPU_INFO.exists() else platform.processor()


def _cpu_info(key: str) -> str:
    """Returns what Linux says of the first core; "" elsewhere."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")


def _torch_version() -> str | None:
    try:
        return importlib.metadata.version("torch")  # importing it would take seconds
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state() -> tuple[str | None, bool | None]:
    """Returns the commit of the checkout that this code runs from and whether the code differs."""
    root = _output("git", "-C", str(_CHECKOUT), "rev-parse", "--show-toplevel")
    # An installed copy may lie inside a repository of the user's own.
    if not root or Path(root).resolve() != _CHECKOUT:
        return None, None
    commit = _output("git", "-C", str(_CHECKOUT), "rev-parse", "HEAD")
    changes = _output("git", "-C", str(_CHECKOUT), "status", "--porcelain", "--", *_CODE)
    return (commit, None if changes is None else bool(changes)) if commit else (None, None)


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
