"""The floating-point environment that exact arithmetic needs: IEEE 754's default.

A library can change how the calling thread rounds (`fesetround`) or have it flush subnormal numbers
to zero (`-ffast-math` at load time, `torch.set_flush_denormal`). The same model then gives other
frequencies, and files that no other machine decodes. New threads inherit the environment of the
thread that starts them (POSIX, pthread_create).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from typing import Any

from lmcompress.errors import LmcompressError

_ENVIRONMENT_BYTES = 64
"""More than an fenv_t takes: 32 bytes on x86-64, 8 on aarch64 (glibc), 16 on macOS."""
_HALF_ULP = [2.0**-53, 2.0**-54]
_SMALLEST = [2.0**-1022, 2.0**-1074]


@contextlib.contextmanager
def default_floating_point() -> Iterator[None]:
    """Computes in the default environment, and restores the caller's afterwards.

    Raises:
      LmcompressError: If the environment is another one and cannot be set here.
    """
    if is_default():
        yield
        return
    library = _library()
    saved = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
    if library is None or library.fegetenv(saved) or library.fesetenv(_default(library)):
        raise LmcompressError(
            "this thread rounds or flushes floating-point numbers in an unusual way, and it cannot "
            "be changed here: have the program restore the default (fesetround, FTZ and DAZ)"
        )
    try:
        yield
    finally:
        library.fesetenv(saved)


def is_default() -> bool:
    """Whether this thread rounds to nearest, ties to even, and keeps subnormal numbers."""
    one, (half, quarter) = float(len(_HALF_ULP) - 1), _HALF_ULP  # not folded at compile time
    smallest_normal, smallest = _SMALLEST
    rounds_to_nearest = one + half == one and one - quarter == one
    return rounds_to_nearest and smallest_normal * (one / 2) > 0.0 and smallest * one > 0.0


def _library() -> Any:
    """Returns the C library's functions, or None where they are missing."""
    if sys.platform == "win32":  # FE_DFL_ENV is no address there
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "fesetenv") and hasattr(library, "fegetenv") else None


def _default(library: Any) -> Any:
    """Returns FE_DFL_ENV: an object of macOS's library, the address -1 of glibc and musl."""
    if sys.platform == "darwin":
        return ctypes.byref(ctypes.c_char.in_dll(library, "_FE_DFL_ENV"))
    return ctypes.c_void_p(-1)
