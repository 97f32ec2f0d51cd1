"""Finds the predictor or codec that an argument names, without importing it.

A model is made into one too: a folder with the model's files and a line of Python that imports an
adapter. So its files are counted and hashed like those of any other predictor.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lmcompress.errors import NotProvenError
from lmcompress.models.catalog import HUB
from lmcompress.models.manifest import read_manifest
from lmcompress.models.sources import opened_source
from lmcompress.models.store import NO_MODEL, folders
from lmcompress.prove.loading import CODEC, PREDICTOR
from lmcompress.prove.processes import Subject

STUB = "predictor.py"
_SUFFIXES = (".json", ".safetensors")
_WITH_KERNELS = ("codec", "exact")
"""Adapters that run our kernels, which a guarded process could compile but not keep."""
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


@contextlib.contextmanager
def found_predictor(
    name: str, places: Sequence[Path] = (), *, adaptive: bool = True
) -> Iterator[Subject]:
    """Yields the predictor or codec of a name.

    Args:
      name: As the user gives it, or as a certificate has it: a Python file, `package.module` of
        the current folder, a model of ours by name or folder, "none" for the adaptive stage alone,
        a folder of transformers, or hf:OWNER/NAME.
      places: Folders to look in besides the current one.
      adaptive: Whether a model of ours is the codec that it is with the adaptive stage, or the GPT
        alone as a predictor.

    Raises:
      NotProvenError: If there is none.
      LmcompressError: If a model cannot be downloaded or is damaged.
    """
    with contextlib.ExitStack() as stack:
        for place in (Path(), *places):
            if subject := _python_file(place / name) or _module(place, name):
                yield subject
                return
        if name == NO_MODEL:
            if not adaptive:
                raise NotProvenError("none is the adaptive stage alone: leave out --adaptive off")
            yield stack.enter_context(_staged("codec", []))
            return
        if name.startswith(HUB):
            folder, _ = stack.enter_context(opened_source(name, Path()))
        else:
            folder = _model_folder(name, places)
        yield stack.enter_context(_model(folder, adaptive=adaptive))


def _model_folder(name: str, places: Sequence[Path]) -> Path:
    for place in (Path(), *places):
        if (place / name / "model.json").is_file() or (place / name / "config.json").is_file():
            return place / name
    if name in folders():
        return folders()[name]
    raise NotProvenError(
        f"found no predictor {name!r}: expected a Python file or package.module, seen from here, "
        "the name or folder of a model, or hf:OWNER/NAME"
    )


def _model(folder: Path, *, adaptive: bool) -> AbstractContextManager[Subject]:
    """Returns a model as a predictor or codec, in a folder that holds only what it consists of."""
    files = (path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES)
    return _staged(_adapter_of(folder, adaptive=adaptive), filter(Path.is_file, files))


@contextlib.contextmanager
def _staged(adapter: str, files: Iterable[Path]) -> Iterator[Subject]:
    """Yields a new folder with some files, and a line of Python that imports an adapter."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.path.realpath(temporary))
        for path in files:
            _link_or_copy(path.resolve(), folder / path.name)
        module = f"lmcompress.prove.adapters.{adapter}"
        if has_kernels := adapter in _WITH_KERNELS:
            importlib.import_module(module).compile_kernels(folder)
        kind = CODEC if adapter == "codec" else PREDICTOR
        (folder / STUB).write_text(f"from {module} import {kind} as {kind}\n", "utf-8")
        yield Subject(folder, STUB, uses_kernels=has_kernels)


def _adapter_of(folder: Path, *, adaptive: bool) -> str:
    if not (folder / "model.json").is_file():
        return "causal"
    if read_manifest(folder)["format"] != "exact":
        return "floats"
    return "codec" if adaptive else "exact"


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def shown_name(name: str) -> str:
    """Returns a predictor's name for a certificate; absolute paths lose their folders."""
    return Path(name).name if Path(name).is_absolute() else name


def _python_file(path: Path) -> Subject | None:
    if path.suffix != ".py" or not path.is_file():
        return None
    real = Path(os.path.realpath(path))
    return Subject(real.parent, real.name)


def _module(place: Path, name: str) -> Subject | None:
    if not _MODULE.fullmatch(name):
        return None
    top, *rest = name.split(".")
    inner = place.joinpath(top, *rest)
    if not inner.with_suffix(".py").is_file() and not (inner / "__init__.py").is_file():
        return None
    return Subject(Path(os.path.realpath(place / top)), name)


@contextlib.contextmanager
def bare_copy(subject: Subject, paths: Iterable[str]) -> Iterator[Subject]:
    """Yields the predictor in a new folder that holds only some of its files.

    Neither times nor modes are copied: they could carry something.

    Args:
      subject: The predictor.
      paths: Its files, relative to its folder.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.path.realpath(temporary))
        for path in paths:
            copy = folder / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(subject.folder / path, copy)
        yield dataclasses.replace(subject, folder=folder)
