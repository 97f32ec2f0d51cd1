"""An audit hook (PEP 578) that names what a predictor tried.

It is no wall: C and Rust raise few events, and Python can step around a hook. The kernel's guards
are the wall where there are some; the hook says in words what happened.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LOOKING = ("os.listdir", "os.scandir", "os.getxattr", "os.listxattr")
_CHANGING = (
    "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod",
    "os.chown", "os.truncate", "os.utime", "os.setxattr", "shutil.", "sqlite3.connect",
)  # fmt: skip
_NEVER = (
    "socket.connect", "socket.bind", "socket.send", "socket.getaddrinfo", "subprocess.",
    "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.kill", "pty.",
)  # fmt: skip
_IMPORTS = "<frozen importlib._bootstrap>"


@dataclasses.dataclass
class Refusals:
    """What was refused, and whether that was while a library was imported."""

    by_imports: list[str] = dataclasses.field(default_factory=list)
    """Harmless: torch asks for compilers that it does not need."""
    others: list[str] = dataclasses.field(default_factory=list)


def arm(
    folder: Path, readable: Sequence[str], listable: Sequence[str], writable: Sequence[str]
) -> Refusals:
    """Refuses what is not granted from now on; returns what will be refused."""
    refusals, real, decode = Refusals(), os.path.realpath, os.fsdecode
    own, scratch = str(folder), tuple(writable)
    granted = {True: (own, *readable), False: (own, *readable, *listable)}

    def refuse(what: str) -> None:
        (refusals.by_imports if _is_import(own) else refusals.others).append(what[:160])
        raise PermissionError(13, "prove refuses", what)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_open = event == "open"
        if is_open or event in _LOOKING or event.startswith(_CHANGING):
            if not arguments or isinstance(arguments[0], int):
                return
            path = real(decode(arguments[0] or "."))
            reads = event in _LOOKING or (is_open and not (arguments[2] or 0) & _WRITING)
            if not (_is_below(path, scratch) or (reads and _is_below(path, granted[is_open]))):
                refuse(f"{event} {path}")
        elif event.startswith(_NEVER):
            refuse(f"{event} {arguments[:1]}")

    sys.addaudithook(hook)
    return refusals


def _is_below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(top + os.sep) for top in tops)


def _is_import(folder: str) -> bool:
    """Whether, going outwards, an import comes before the predictor's own code."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name == _IMPORTS:
            return True
        if name.startswith(folder + os.sep):
            return False
        frame = frame.f_back
    return False
