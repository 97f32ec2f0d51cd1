"""Intervals: they hold the rate, narrow with the number of pieces, and are the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.support.intervals import half_width_of_mean, interval


def pieces(count: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(3)
    sizes = rng.integers(100, 300, count)
    return (sizes * rng.normal(2.0, 0.3, count)).tolist(), sizes.tolist()


def test_an_interval_holds_the_rate_and_is_the_same_every_time() -> None:
    bits, sizes = pieces(40)

    low, high = interval(bits, sizes)

    assert low < sum(bits) / sum(sizes) < high
    assert (low, high) == interval(bits, sizes)


def test_it_is_as_wide_as_the_standard_error_says() -> None:
    bits, sizes = pieces(400)

    low, high = interval(bits, sizes)

    # About 2 * 1.96 standard errors of a mean whose pieces spread by 0.3, weighted by their sizes.
    weights = np.array(sizes) / sum(sizes)
    expected = 2 * 1.96 * 0.3 * np.sqrt((weights**2).sum())
    assert high - low == pytest.approx(expected, rel=0.15)


def test_equal_pieces_leave_no_doubt() -> None:
    assert interval([4.0] * 9, [2.0] * 9) == (2.0, 2.0)


def test_nine_of_ten_intervals_hold_what_the_pieces_were_drawn_from() -> None:
    rng, held = np.random.default_rng(5), 0
    for _ in range(100):
        low, high = interval(rng.normal(2.0, 0.5, 30).tolist(), [1.0] * 30)
        held += low <= 2.0 <= high

    assert 85 <= held <= 99


def test_half_of_the_interval_of_a_mean_of_few_is_students() -> None:
    # Eight values with a standard error of 1, and 2.3646 of them on each side.
    values = np.array([-1.0, 1.0] * 4) * np.sqrt(7)

    assert half_width_of_mean(values.tolist()) == pytest.approx(2.3646, abs=1e-4)
