"""Connecting to a Ray cluster."""

from __future__ import annotations

import contextlib
import importlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

from lmcompress.errors import ClusterError
from lmcompress.system.extras import needs_extra

AUTO = "auto"
"""The cluster that this machine belongs to; without one, a cluster of this machine alone."""
_PATIENCE = 10.0
"""Seconds to wait for an address to answer."""


def ray_module() -> Any:
    """Returns the package ray; raises MissingDependencyError without it."""
    with needs_extra("cluster", "a cluster", "ray"):
        return importlib.import_module("ray")


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connects to a cluster until the end of the context; yields the package ray.

    A connection that this process has already is used, and stays.

    Args:
      address: `auto`, or what `ray.init` takes: HOST:PORT, or ray://HOST:PORT.

    Raises:
      ClusterError: If no cluster answers there, or one with another Ray or Python.
      MissingDependencyError: Without ray.
    """
    ray = ray_module()
    if ray.is_initialized():
        yield ray
        return
    try:
        _connect(ray, address)
    except (OSError, RuntimeError, ValueError) as exc:
        reason = str(exc).strip().split("\n")[0]
        raise ClusterError(
            f"cannot connect to a Ray cluster at {address} ({reason}): start one with "
            "`ray start --head`, or give auto"
        ) from exc
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address != AUTO:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        with socket.create_connection((host, int(port)), _PATIENCE):
            pass  # somebody listens: Ray itself would try for minutes
        ray.init(address=address, **quiet)
        return
    try:
        ray.init(address="auto", **quiet)
    except ConnectionError:
        ray.init(address="local", include_dashboard=False, **quiet)
