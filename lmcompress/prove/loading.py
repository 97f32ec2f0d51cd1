"""Loads a predictor in its own process, from its folder."""

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
from lmcompress.prove.rows import MAX_SYMBOLS

CLASS = "Predictor"


def load_predictor(folder: Path, entry: str) -> tuple[Any, list[bytes]]:
    """Returns a new predictor and the bytes of each of its symbols.

    Args:
      folder: Its folder; for a package, that of the package itself.
      entry: The name of its file there, or `package.module`.

    Raises:
      NotProvenError: If there is no class Predictor, or its symbols are not what they must be.
    """
    module = _load_module(folder, entry)
    if not hasattr(module, CLASS):
        raise NotProvenError(f"{entry} has no class {CLASS}: see docs/prove.md for what it needs")
    predictor = getattr(module, CLASS)()
    missing = [
        n for n in ("symbols", "reset", "probabilities", "push") if not hasattr(predictor, n)
    ]
    if missing:
        raise NotProvenError(f"class {CLASS} lacks {', '.join(missing)}")
    return predictor, symbol_table(predictor.symbols)


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
