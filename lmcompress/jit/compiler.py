"""Compiling kernels with numba: strict IEEE, no GIL, machine code cached on disk.

numba notices when the file of a kernel changes, but not when other files do from which the kernel
inlines functions or freezes constants: stale code would give other bits. So the cache folder is
named after a hash of the files that kernels are made from.
"""

from __future__ import annotations

import contextlib
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
from numba.core.compiler_lock import global_compiler_lock

from lmcompress.errors import LmcompressError
from lmcompress.jit.code_cache import CodeFiles, remove_unused
from lmcompress.system.cache import cache_home

_log = logging.getLogger(__name__)
_SOURCES = (
    "adaptive",
    "gpt/constants.py",
    "gpt/cpu",
    "gpt/ngrams.py",
    "gpt/tables.py",
    "jit",
    "range_coder.py",
    "range_decoder.py",
    "tokenizer/intervals.py",
    "tokenizer/rounds.py",
    "tokenizer/spelling.py",
    "tokenizer/trie.py",
)
"""Where kernels, and all that they inline or freeze, come from."""
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a kernel at its first call with arguments of given types."""
    return _compile(function)


def lean_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a kernel that allocates nothing and is inlined into each kernel that calls it.

    Passing it arrays costs no reference counting.
    """
    return _compile(function, _nrt=False, forceinline=True)


def _compile(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise LmcompressError(
            "NUMBA_DISABLE_JIT is set, and the kernels run only as machine code: unset it"
        )
    identity = _identity(function)
    if function.__closure__:
        # The linker identifies machine code by name: two closures of one function need different
        # names, or code that another process cached for one would be run for the other.
        tag = hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
        function.__qualname__ = f"{function.__qualname__}_{tag}"
    folder = _cache_folder()
    if folder is None:
        compiled = numba.njit(**_OPTIONS, **options)(function)
        compiled.compile = _obeying_interrupts(compiled.compile)
        return compiled  # type: ignore[no-any-return]
    before = config.CACHE_DIR  # type: ignore[attr-defined]
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    try:
        compiled = numba.njit(cache=True, **_OPTIONS, **options)(function)
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    compiled.compile = _obeying_interrupts(compiled.compile)
    cache = compiled._cache
    cache._cache_file = CodeFiles(folder)
    cache.save_overload = _save_if_possible(cache.save_overload)
    cache._index_key = functools.partial(_index_key, identity)
    return compiled  # type: ignore[no-any-return]


def _index_key(identity: str, signature: Any, codegen: Any) -> tuple[Any, ...]:
    """Returns the key of cached machine code.

    numba's own key pickles what a function closes over. A compiled function pickles with a number
    that is new in each process, so its code would never be found.
    """
    return signature, codegen.magic_tuple(), identity


def _identity(value: Any) -> str:
    """Returns text that identifies a compiled function, or a value that it closes over."""
    function = getattr(value, "py_func", None) or getattr(value, "_defn", None) or value
    if isinstance(value, bool | int | float | str | np.generic) or dataclasses.is_dataclass(value):
        return repr(value)
    if not inspect.isfunction(function):
        raise TypeError(f"a kernel closes over {value!r}, expected a number, text or function")
    cells = ", ".join(_identity(cell.cell_contents) for cell in function.__closure__ or ())
    return f"{function.__module__}.{function.__qualname__}({cells})"


def _save_if_possible(save: Callable[..., None]) -> Callable[..., None]:
    """Returns a `save` that logs and goes on if the disk is full: the code is compiled again."""

    def save_or_go_on(*args: Any) -> None:
        try:
            save(*args)
        except (OSError, LmcompressError) as exc:
            _log.info("machine code could not be cached, the next start compiles again: %s", exc)

    return save_or_go_on


def _obeying_interrupts(compile_types: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a dispatcher's `compile` that raises the interrupts which LLVM's callbacks lose.

    While LLVM works, for seconds, a signal waits for the next line of Python. That is in a callback
    from C, which can pass no exception on: Python reports it as unraisable and goes on.
    """

    def compile_or_raise(*args: Any) -> Any:
        with global_compiler_lock:  # one thread at a time replaces the hook
            before, lost = sys.unraisablehook, False

            def keep(unraisable: Any) -> None:
                nonlocal lost
                if unraisable.exc_type is KeyboardInterrupt:
                    lost = True
                else:
                    before(unraisable)

            sys.unraisablehook = keep
            try:
                return compile_types(*args)
            finally:
                sys.unraisablehook = before
                if lost:  # and without what the callback was for, compiling may have failed
                    raise KeyboardInterrupt

    return compile_or_raise


def device_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function that kernels inline; it runs as a part of them only."""
    return numba.njit(inline="always", **_OPTIONS)(function)  # type: ignore[no-any-return]


@functools.cache
def _cache_folder() -> Path | None:
    """Returns the folder for this version's machine code, or None if none can be written."""
    try:
        root = os.environ.get("NUMBA_CACHE_DIR") or cache_home() / "kernels"
        folder = Path(root, sources_digest())
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):  # prove lets no process leave a mark on a file
            os.utime(folder)  # it is in use
        with tempfile.TemporaryFile(dir=folder):
            pass
        if is_new and "NUMBA_CACHE_DIR" not in os.environ:
            remove_unused(folder)
        return folder
    except (OSError, LmcompressError) as exc:
        _log.warning(
            "machine code cannot be cached (%s), every start compiles again: set NUMBA_CACHE_DIR",
            exc,
        )
        return None


def sources_digest(*more: str) -> str:
    """Returns a name for the version of all kernels, and of more folders of the package.

    It changes with what they are made from.
    """
    package = Path(__file__).parents[1]
    versions = f"{numba.__version__} {sys.implementation.cache_tag}"
    digest = hashlib.blake2b(versions.encode(), digest_size=8)
    for source in (*_SOURCES, *more):
        path = package / source
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
