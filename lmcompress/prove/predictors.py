"""Finds the predictor that an argument names, without importing it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lmcompress.errors import NotProvenError
from lmcompress.prove.processes import Subject

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


@contextlib.contextmanager
def found_predictor(name: str, places: Sequence[Path] = ()) -> Iterator[Subject]:
    """Yields the predictor of a name: a Python file, or `package.module` of the current folder.

    Args:
      name: As the user gives it, or as a certificate has it.
      places: Folders to look in besides the current one.

    Raises:
      NotProvenError: If there is none.
    """
    for place in (Path(), *places):
        if subject := _python_file(place / name) or _module(place, name):
            yield subject
            return
    raise NotProvenError(
        f"found no predictor {name!r}: expected a Python file or package.module, seen from here"
    )


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
        yield Subject(folder, subject.entry, subject.readable)
