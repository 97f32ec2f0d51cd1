"""Landlock: the Linux kernel refuses other files, TCP and signals, to C and Rust as well.

Without root or a package: three system calls (Linux 5.13; man 7 landlock). It binds the calling
thread and what that starts, so it must come before any library starts threads.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from typing import Any

SUFFICIENT = 3
"""The version that also refuses to truncate files; seccomp has what later ones add."""
_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""The same numbers on all architectures."""
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_RIGHTS_OF_FILES = 0b1100_0000_0000_0111
"""Those that a rule about a file, not a folder, may name."""
_NUM_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""File rights that a version of the interface knows; 16 in later ones."""
_NET, _SCOPES = 0b11, 0b11
"""TCP bind and connect, from version 4; abstract sockets and signals, from version 6."""
_NO_NEW_PRIVILEGES = 38


def version() -> int:
    """Returns the version of the kernel's interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, 0, 1)))


def restrict(readable: Iterable[str], listable: Iterable[str], writable: Iterable[str]) -> int:
    """Refuses this process all files but these from now on; returns the version, or 0.

    Raises:
      OSError: If the kernel knows Landlock and does not take these rules.
    """
    known = version()
    if not known:
        return 0
    libc, every = _libc(), (1 << _NUM_RIGHTS.get(known, 16)) - 1
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    attributes = struct.pack("QQQ", every, _NET, _SCOPES)[:size]
    rules = _checked(libc.syscall(_CREATE, attributes, size, 0))
    granted = [(path, _READ_FILE | _READ_DIR) for path in readable]
    granted += [(path, _READ_DIR) for path in listable]
    granted += [(path, every) for path in writable]
    for path, rights in granted:
        _grant(libc, rules, path, rights)
    _checked(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(libc.syscall(_RESTRICT, rules, 0))
    os.close(rules)
    return known


def _grant(libc: Any, rules: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:  # not every system has every path
        return
    try:
        if not os.path.isdir(path):
            rights &= _RIGHTS_OF_FILES
        _checked(libc.syscall(_ADD, rules, 1, struct.pack("=Qi", rights, descriptor), 0))
    finally:
        os.close(descriptor)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: {os.strerror(number)}")
    return result
