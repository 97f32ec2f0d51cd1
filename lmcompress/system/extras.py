"""Packages that only some commands need, which come with an extra of the installation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lmcompress.errors import MissingDependencyError


@contextlib.contextmanager
def needs_extra(extra: str, what: str, *packages: str) -> Iterator[None]:
    """Says what to install if one of the packages that the block imports is not installed.

    Args:
      extra: Name of the extra in pyproject.toml.
      what: What needs the packages, such as "a plot".
      packages: As they are imported. A package that is there but broken raises its own error.

    Raises:
      MissingDependencyError: If one is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name not in packages:
            raise
        raise MissingDependencyError(
            f"{what} needs the {exc.name} package: pip install 'lmcompress[{extra}]'"
        ) from exc
