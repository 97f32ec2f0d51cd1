"""Compiling kernels with numba: strict IEEE, no GIL, machine code cached on disk.

numba notices a change of the file that a kernel stands in, but not of what the kernel inlines or
freezes from other files: stale code would give other bits. So the cache lies in a folder that is
named after the text of the packages that kernels are made from.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config

from lmcompress.errors import LmcompressError
from lmcompress.jit.code_cache import CodeFiles, remove_unused
from lmcompress.system.cache import cache_home

_log = logging.getLogger(__name__)
_SOURCES = ("adaptive", "gpt", "jit", "tokenizer", "range_coder.py")
"""What kernels, and all that they inline or freeze, come from."""
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a kernel, at its first call for the types of its arguments."""
    return _compile(function)


def lean_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a kernel that allocates nothing, and becomes a part of each kernel that calls it.

    Its arrays are not counted as they are passed on, nor, inlined, passed on at all.
    """
    return _compile(function, _nrt=False, forceinline=True)


def _compile(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    identity = _identity(function)
    if function.__closure__:
        # The linker knows machine code by names, and takes for one what two processes gave the same
        # name to: what a function closes over has to be a part of its name.
        tag = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
        function.__qualname__ = f"{function.__qualname__}_{tag}"
    folder = _cache_folder()
    if folder is None:
        return numba.njit(**_OPTIONS, **options)(function)  # type: ignore[no-any-return]
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    try:
        compiled = numba.njit(cache=True, **_OPTIONS, **options)(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    cache = compiled._cache
    cache._cache_file = CodeFiles(folder)
    cache.save_overload = _save_if_possible(cache.save_overload)
    cache._index_key = functools.partial(_index_key, identity)
    return compiled  # type: ignore[no-any-return]


def _index_key(identity: str, signature: Any, codegen: Any) -> tuple[Any, ...]:
    """Returns what numba is to find machine code by in a cache that holds one version's.

    Its own key has what a function closes over as pickled: with a number that is new in each
    process where that is another compiled function, so that nothing would ever be found.
    """
    return signature, codegen.magic_tuple(), identity


def _identity(value: Any) -> str:
    """Returns what tells a compiled function, or a value it closes over, from all others."""
    function = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value
    if isinstance(value, bool | int | float | str | np.generic) or dataclasses.is_dataclass(value):
        return repr(value)
    if not inspect.isfunction(function):
        raise TypeError(f"a kernel closes over {value!r}, expected a number, text or function")
    cells = ", ".join(_identity(cell.cell_contents) for cell in function.__closure__ or ())
    return f"{function.__module__}.{function.__qualname__}({cells})"


def _save_if_possible(save: Callable[..., None]) -> Callable[..., None]:
    """Returns what saves machine code and goes on where the disk is full: it is compiled anew."""

    def save_or_go_on(*args: Any) -> None:
        try:
            save(*args)
        except (OSError, LmcompressError) as exc:
            _log.info("machine code could not be kept, the next start compiles anew: %s", exc)

    return save_or_go_on


def device_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function that kernels inline; it runs as a part of them only."""
    return numba.njit(inline="always", **_OPTIONS)(function)  # type: ignore[no-any-return]


@functools.cache
def _cache_folder() -> Path | None:
    """Returns the folder for this version's machine code, or None if none can be written."""
    try:
        root = os.environ.get("NUMBA_CACHE_DIR") or cache_home() / "kernels"
        folder = Path(root, _digest())
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # it is in use
        with tempfile.TemporaryFile(dir=folder):
            pass
        if is_new and "NUMBA_CACHE_DIR" not in os.environ:
            remove_unused(folder)
        return folder
    except (OSError, LmcompressError) as exc:
        _log.warning(
            "machine code cannot be kept (%s), so each start compiles anew: set NUMBA_CACHE_DIR",
            exc,
        )
        return None


def _digest() -> str:
    package = Path(__file__).parents[1]
    versions = f"{numba.__version__} {sys.implementation.cache_tag}"
    digest = hashlib.blake2b(versions.encode(), digest_size=8)
    for source in _SOURCES:
        path = package / source
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
