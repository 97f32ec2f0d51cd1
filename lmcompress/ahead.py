"""Work done one item ahead of who takes the results, on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_by_one(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result]]:
    """Yields the same without a thread."""
    for item in items:
        yield item, function(item)


def one_ahead(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[tuple[Item, Result]]:
    """Yields each item with what the function makes of it, in order.

    While the caller is busy with one, the next is computed; an error comes with its item.
    """
    with ThreadPoolExecutor(1, "lmcompress-ahead") as pool:
        before: tuple[Item, Future[Result]] | None = None
        for item in items:
            following = item, pool.submit(function, item)
            if before is not None:
                yield before[0], before[1].result()
            before = following
        if before is not None:
            yield before[0], before[1].result()
