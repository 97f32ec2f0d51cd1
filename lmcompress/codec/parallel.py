"""Segments side by side, each on a core of its own: they are independent, so no bit changes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from lmcompress.codec.config import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


class _StoppedError(Exception):
    """Nobody waits for this segment any more."""


def in_order(
    work: Callable[[Item, Progress], Result],
    items: Iterator[Item],
    workers: int,
    progress: Progress | None = None,
) -> Iterator[Result]:
    """Yields `work(item, progress)` for each item, in their order, from threads.

    An error of `items` or of `work` is raised after the results before it. When the caller stops,
    or is interrupted, the threads stop at their next call of `progress`.

    Args:
      work: Must be safe to run in several threads at once, and call its progress often.
      items: Read in the caller's thread; at most `workers` are taken and not yielded yet.
      workers: Threads.
      progress: Called by one thread at a time.
    """
    shared = _SharedProgress(progress)
    waiting: deque[Future[Result]] = deque()
    error: Exception | None = None
    pool = ThreadPoolExecutor(workers, "lmcompress-segment")
    try:
        while error is None:
            try:
                waiting.append(pool.submit(work, next(items), shared))
            except StopIteration:
                break
            except Exception as exc:
                error = exc
            if len(waiting) == workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        shared.stop()
        pool.shutdown(cancel_futures=True)
    if error is not None:
        raise error


class _SharedProgress:
    def __init__(self, progress: Progress | None) -> None:
        self._progress, self._lock = progress, threading.Lock()
        self._is_stopped = False

    def __call__(self, count: int) -> None:
        if self._is_stopped:
            raise _StoppedError
        if self._progress:
            with self._lock:
                self._progress(count)

    def stop(self) -> None:
        self._is_stopped = True
