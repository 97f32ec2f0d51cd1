"""Tasks on the nodes of a cluster: results in order, a bounded number of them ahead.

Scheduling, retries and memory are Ray's. What is ours is whom we trust: a node that refuses, or
whose result is wrong, is left out, and its tasks go elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from lmcompress.cluster.job import NodeRefusedError
from lmcompress.errors import ClusterError

Item = TypeVar("Item")
_NODE = "ray.io/node-id"
"""Ray's label of a node."""
AHEAD = 2
"""Tasks in flight for each CPU, so that none waits for the driver."""
_RETRIES = 5
"""Times that Ray runs a task again whose node or process died."""
_PATIENCE = 5.0
"""Seconds after which to look whether a task still has a node to run on."""
_log = logging.getLogger(__name__)


@dataclasses.dataclass
class _Task(Generic[Item]):
    item: Item
    arguments: tuple[Any, ...]
    reference: Any


class Pool:
    """The nodes of a cluster that are trusted."""

    def __init__(self, ray: Any, on_left_out: Callable[[str], None] = lambda node: None) -> None:
        """Calls `on_left_out` with the id of a node that is trusted no more."""
        self._ray, self._on_left_out = ray, on_left_out
        self._remote = functools.cache(ray.remote(num_cpus=1, max_retries=_RETRIES))
        """Cached, so that a function is sent to the cluster once, not with each task."""
        self.left_out: dict[str, str] = {}
        """Why nodes are left out, by id."""

    def put(self, value: Any) -> list[Any]:
        """Puts a value into the object store, from which it reaches each node once."""
        with self._explained():
            return [self._ray.put(value)]

    def nodes(self) -> dict[str, str]:
        """Returns the addresses of nodes that are alive and trusted, by id."""
        return {
            node["NodeID"]: node["NodeManagerAddress"]
            for node in self._ray.nodes()
            if node["Alive"] and node["NodeID"] not in self.left_out
        }

    def elsewhere(
        self, node: str, work: Callable[..., Any], *arguments: Any
    ) -> tuple[str, Any] | None:
        """Runs a task on any trusted node but this one; returns None if there is none."""
        if not self.nodes().keys() - {node}:
            return None
        reference = self.start(work, *arguments, other_than=node)
        while not self._ray.wait([reference], timeout=_PATIENCE)[0]:
            if not self.nodes().keys() - {node}:  # it died, and the task would wait for ever
                self._ray.cancel(reference)
                return None
        return self.result(reference)

    def start(self, work: Callable[..., Any], *arguments: Any, other_than: str = "") -> Any:
        """Starts a task on a trusted node; returns its reference."""
        remote = self._remote(work)
        away = [*self.left_out, *([other_than] if other_than else [])]
        if away:
            remote = remote.options(label_selector={_NODE: f"!in({','.join(away)})"})
        with self._explained():
            return remote.remote(*arguments)

    def in_order(
        self, work: Callable[..., tuple[str, Any]], items: Iterator[tuple[Item, tuple[Any, ...]]]
    ) -> Iterator[tuple[Item, str, Any]]:
        """Yields (item, node, result) for `work(*arguments)` of each (item, arguments), in order.

        Raises:
          ClusterError: If no node is left, or Ray gives a task up.
          LmcompressError: What `work` raises.
        """
        most = max(1, int(AHEAD * self._ray.cluster_resources().get("CPU", 1)))
        waiting: deque[_Task[Item]] = deque()
        for item, arguments in items:
            waiting.append(_Task(item, arguments, self.start(work, *arguments)))
            if len(waiting) >= most:
                yield self._first(work, waiting)
        while waiting:
            yield self._first(work, waiting)

    def _first(
        self, work: Callable[..., tuple[str, Any]], waiting: deque[_Task[Item]]
    ) -> tuple[Item, str, Any]:
        task = waiting[0]
        while True:
            try:
                node, result = self.result(task.reference)
            except NodeRefusedError as refusal:
                node = refusal.node
                self.leave_out(node, refusal.reason)
            if node not in self.left_out:
                waiting.popleft()
                return task.item, node, result
            task.reference = self.start(work, *task.arguments)

    def result(self, reference: Any) -> tuple[str, Any]:
        """Waits for a task; returns its node and result."""
        with self._explained():
            return self._ray.get(reference)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Raises what a task has raised, and Ray's own errors as a ClusterError."""
        exceptions = self._ray.exceptions
        try:
            yield
        except (exceptions.ObjectStoreFullError, exceptions.OutOfDiskError) as exc:
            raise ClusterError(
                "the cluster's object store is full, and so is the disk that it may use: take "
                "smaller segments (--segment-bytes), or start Ray with a larger "
                "--object-store-memory"
            ) from exc
        except exceptions.RayTaskError as exc:
            raise exc.cause if isinstance(exc.cause, Exception) else exc from None
        except exceptions.RayError as exc:
            reason = str(exc).strip().split("\n")[0]
            raise ClusterError(f"the cluster gave a task up ({reason}): see Ray's logs") from exc

    def leave_out(self, node: str, reason: str) -> None:
        """Trusts a node no more; raises ClusterError if none is left."""
        if node not in self.left_out:
            address = self.nodes().get(node, "gone")
            _log.warning("left out node %s at %s: %s", node[:8], address, reason)
            self.left_out[node] = f"{address}: {reason}"
            self._on_left_out(node)
        if not self.nodes():
            raise ClusterError(f"no node is left; the last one, at {self.left_out[node]}")
