"""Loads a predictor or codec in its own process, from its folder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import Any

from lmcompress.errors import NotProvenError
from lmcompress.prove.protocol import Codec
from lmcompress.prove.rows import MAX_SYMBOLS

PREDICTOR, CODEC = "Predictor", "Codec"
"""The class that a file has, and with it the kind of what is proven."""
_METHODS = {
    PREDICTOR: ("symbols", "reset", "probabilities", "push"),
    CODEC: ("compress", "decompress"),
}


def load_any(folder: Path, entry: str) -> tuple[str, Any]:
    """Returns what a file has, PREDICTOR or CODEC, and a new one of it.

    Args:
      folder: Its folder; for a package, that of the package itself.
      entry: The name of its file there, or `package.module`.

    Raises:
      NotProvenError: If it has neither class, or the class lacks a method.
    """
    module = _load_module(folder, entry)
    kind = next((kind for kind in _METHODS if hasattr(module, kind)), None)
    if kind is None:
        raise NotProvenError(
            f"{entry} has no class {PREDICTOR} or {CODEC}: see docs/prove.md for what it needs"
        )
    made = getattr(module, kind)()
    missing = [name for name in _METHODS[kind] if not hasattr(made, name)]
    if missing:
        raise NotProvenError(f"class {kind} lacks {', '.join(missing)}")
    return kind, made


def load_predictor(folder: Path, entry: str) -> tuple[Any, list[bytes]]:
    """Returns a new predictor and the bytes of each of its symbols; see `load_any`."""
    predictor = _load_kind(folder, entry, PREDICTOR)
    return predictor, symbol_table(predictor.symbols)


def load_codec(folder: Path, entry: str) -> Codec:
    """Returns a new codec; see `load_any`."""
    codec: Codec = _load_kind(folder, entry, CODEC)
    return codec


def _load_kind(folder: Path, entry: str, kind: str) -> Any:
    found, made = load_any(folder, entry)
    if found != kind:
        raise NotProvenError(f"{entry} has a class {found}, expected {kind}")
    return made


def symbol_table(symbols: Any) -> list[bytes]:
    """Returns the bytes of each symbol.

    Raises:
      NotProvenError: If `symbols` is neither 256 nor a list of bytes.
    """
    if isinstance(symbols, int) and symbols == 256:
        return [bytes([value]) for value in range(256)]
    if not isinstance(symbols, Sequence) or not all(isinstance(s, bytes) for s in symbols):
        kind = symbols if isinstance(symbols, int) else type(symbols).__name__
        raise NotProvenError(f"symbols is {kind}, expected 256 or a list of bytes")
    if not 2 <= len(symbols) <= MAX_SYMBOLS:
        raise NotProvenError(f"there are {len(symbols)} symbols, expected 2 to {MAX_SYMBOLS}")
    return [bytes(symbol) for symbol in symbols]


class _SourceLoader(SourceFileLoader):
    """Loads from source alone: what is cached beside it is not counted, so it must not be read."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Raises OSError, which Python takes for a source that cannot have been compiled before."""
        raise OSError(f"{path}: bytecode is not used")


def _own_finder(folder: Path) -> Callable[[str], FileFinder]:
    """Returns a hook of sys.path for the predictor's folder."""

    def finder(path: str) -> FileFinder:
        if not Path(path).is_relative_to(folder):
            raise ImportError(f"{path} is not of the predictor")
        return FileFinder(
            path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceLoader, SOURCE_SUFFIXES)
        )

    return finder


def _load_module(folder: Path, entry: str) -> ModuleType:
    sys.path_hooks.insert(0, _own_finder(folder))
    if entry.endswith(".py"):
        sys.path.insert(0, str(folder))
        return _from_file(entry.removesuffix(".py"), folder / entry, None)
    # The folder above a package may not be listed, so Python cannot find the package by itself.
    top = entry.partition(".")[0]
    init = folder / "__init__.py"
    if init.is_file():
        _from_file(top, init, [str(folder)])
    else:
        package = sys.modules[top] = ModuleType(top)
        package.__path__ = [str(folder)]
    return importlib.import_module(entry)


def _from_file(name: str, path: Path, submodules: list[str] | None) -> ModuleType:
    loader = _SourceLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(
        name, path, loader=loader, submodule_search_locations=submodules
    )
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
