"""Floats become the coder's integers by one rule, and what is no row of probabilities is named."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcompress.errors import NotProvenError
from lmcompress.prove.rows import checked_row, to_freqs
from lmcompress.range_coder import PRECISION_BITS, check_freqs


@given(st.lists(st.floats(0, 1), min_size=2, max_size=300).filter(lambda row: sum(row) > 0))
@settings(deadline=None)
def test_frequencies_follow_the_rule_in_fractions(values: list[float]) -> None:
    row = checked_row(np.array(values), len(values), normalise=True)
    units = [int(Fraction(float(p)) * 2**38) for p in row]
    budget = 2**PRECISION_BITS - len(values)
    expected = [unit * budget // sum(units) for unit in units]
    expected[int(np.argmax(row))] += budget - sum(expected)

    freqs = to_freqs(row)

    check_freqs(freqs)
    assert freqs[0].tolist() == expected


@pytest.mark.parametrize("num_symbols", [2, 256, 50_257, 1 << 20])
def test_the_floor_costs_little(num_symbols: int) -> None:
    row = np.random.default_rng(1).dirichlet(np.full(num_symbols, 0.05) + 1e-9)
    chances = (1.0 + to_freqs(row)[0].astype(np.float64)) / (1 << PRECISION_BITS)
    seen = row > 0

    cost = float((row[seen] * (np.log2(row[seen]) - np.log2(chances[seen]))).sum())

    assert 0 <= cost < -np.log2(1 - num_symbols / 2**PRECISION_BITS) + 1e-4


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (np.full(4, 0.25), r"shape \(4,\), expected \(2,\)"),
        (np.full((1, 2), 0.5), r"shape \(1, 2\), expected \(2,\)"),
        (np.array([1, 0]), "returned int64, expected floats"),
        (np.array([0.5 + 0j, 0.5]), "returned complex128, expected floats"),
        (np.array(["a", "b"]), "expected floats"),
        (None, "returned object, expected floats"),
        ([[0.5], [0.5, 0.5]], "returned list, expected floats"),
        (np.array([np.nan, 1.0]), "symbol 0 is not finite: nan"),
        (np.array([1.0, np.inf]), "symbol 1 is not finite: inf"),
        (np.array([-0.25, 1.25]), "symbol 0 is negative: -0.25"),
        (np.array([277.0, 0.3]), "sum to 277.3, not to 1"),
        (np.zeros(2), "sum to 0, not to 1"),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value),
)
def test_what_is_no_row_is_named(found: object, message: str) -> None:
    with pytest.raises(NotProvenError, match=message):
        checked_row(found, 2, normalise=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_are_rows(dtype: torch.dtype) -> None:
    found = torch.tensor([0.25, 0.75], dtype=dtype, requires_grad=True)

    assert checked_row(found, 2, normalise=False).tolist() == [0.25, 0.75]


def test_a_row_is_a_copy() -> None:
    buffer = np.array([0.5, 0.5])

    row = checked_row(buffer, 2, normalise=False)
    buffer[:] = 0

    assert row.tolist() == [0.5, 0.5]


def test_sums_are_divided_out_only_on_demand() -> None:
    assert checked_row(np.array([3.0, 1.0]), 2, normalise=True).tolist() == [0.75, 0.25]
    with pytest.raises(NotProvenError, match="--normalise"):
        checked_row(np.array([3.0, 1.0]), 2, normalise=False)


@pytest.mark.parametrize("row", [[0.0, 0.0], [1e308, 1e308]], ids=["nothing", "overflow"])
def test_nothing_can_be_left_after_normalising(row: list[float]) -> None:
    with pytest.raises(NotProvenError, match="not to 1"):
        checked_row(np.array(row), 2, normalise=True)
