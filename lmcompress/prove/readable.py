"""What a predictor may read besides its own folder: what libraries read when they are imported."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_SYSTEM = (
    "/usr/lib", "/lib", "/lib64", "/usr/local/lib", "/System/Library",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/etc/ssl",
    "/usr/share/zoneinfo", "/usr/share/locale", "/sys/devices/system", "/proc/cpuinfo",
    "/proc/meminfo", "/proc/stat", "/proc/mounts", "/proc/filesystems", "/proc/sys/kernel",
    "/dev/urandom", "/dev/zero",
)  # fmt: skip
_OWN = Path(__file__).parents[1]
_EMBEDDED = _OWN / "models" / "embedded"
"""Models that come with the package: a predictor that uses one has to bring it, to be counted."""


def library_folders() -> list[str]:
    """Returns the folders of Python's own library and of installed packages."""
    found = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return sorted({os.path.realpath(path) for path in {*found, f"{sys.base_prefix}/lib"}})


def readable_paths() -> list[str]:
    """Returns files and folders that may be read, with all that is below them.

    Of /proc, only the process's own part is among them: the parent's environment lies beside it.
    """
    below = [kept for path in listable_paths() for kept in _without(Path(path), _EMBEDDED)]
    return sorted({*map(str, below), *_SYSTEM, f"/proc/{os.getpid()}"})


def listable_paths() -> list[str]:
    """Returns folders that may be listed, though not all in them may be read."""
    return [*library_folders(), str(_OWN)]


def _without(folder: Path, left_out: Path) -> Iterator[Path]:
    """Yields the folder, or if it holds `left_out`, all in it but that."""
    if folder == left_out:
        return
    if not left_out.is_relative_to(folder):
        yield folder
        return
    yield folder / "__pycache__"  # Python asks for it even if it is not there
    for entry in folder.iterdir():
        yield from _without(entry, left_out)
