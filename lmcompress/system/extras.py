"""Packages that only some commands need, which come with an extra of the installation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lmcompress.errors import MissingDependencyError


@contextlib.contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Says what to install if an import in the block fails.

    Args:
      extra: Name of the extra in pyproject.toml.
      what: What needs the package, such as "a plot".

    Raises:
      MissingDependencyError: If an import fails.
    """
    try:
        yield
    except ImportError as exc:
        raise MissingDependencyError(
            f"{what} needs the {exc.name or exc} package: pip install 'lmcompress[{extra}]'"
        ) from exc
