"""Results come in order, each computed while the one before is in use."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lmcompress.ahead import one_ahead


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_results_come_with_their_items_in_order(count: int) -> None:
    assert list(one_ahead(lambda n: n * n, range(count))) == [(n, n * n) for n in range(count)]


def test_the_next_result_is_computed_while_one_is_in_use() -> None:
    started = [threading.Event() for _ in range(3)]

    def work(n: int) -> int:
        started[n].set()
        return n

    results = one_ahead(work, range(3))
    next(results)

    assert started[1].wait(timeout=10)
    assert not started[2].is_set()
    results.close()


def test_an_error_comes_with_its_item() -> None:
    results = one_ahead(lambda n: 1 // (1 - n), range(3))

    assert next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_items_is_theirs() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(one_ahead(lambda n: n, items()))
