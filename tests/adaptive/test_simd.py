"""The mixer's vector code computes what integers do; a state is found by its addresses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lmcompress.adaptive.logistic import LIMIT
from lmcompress.adaptive.simd import add_scaled, dot
from lmcompress.adaptive.state import MIXER_ROW, new_state
from lmcompress.adaptive.state_pointer import addresses_of, state_at
from lmcompress.jit.compiler import lean_kernel

SHIFT = 26


@lean_kernel
def _dot(weights, at, inputs):  # type: ignore[no-untyped-def]
    return dot(weights, at, inputs)


@lean_kernel
def _add_scaled(weights, at, inputs, factor):  # type: ignore[no-untyped-def]
    add_scaled(weights, at, inputs, np.int32(factor), SHIFT)


@lean_kernel
def _touch(addresses):  # type: ignore[no-untyped-def]
    S = state_at(addresses)
    S.shared[0].base += 5
    S.lanes[1].word = -7
    S.slots[S.slots.shape[0] - 1] = 2**32 - 1
    S.match_index[S.match_index.shape[0] - 1] = 2**40
    S.history[S.history.shape[0] - 1] = 255


def random_rows(seed: int, inputs_limit: int) -> tuple[npt.NDArray[np.int32], ...]:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(2**31), 2**31, 3 * MIXER_ROW).astype(np.int32)
    inputs = rng.integers(-inputs_limit, inputs_limit + 1, MIXER_ROW).astype(np.int32)
    return weights, inputs


@pytest.mark.parametrize("limit", [0, 1, LIMIT, 2**26])
def test_dot_is_the_exact_sum(limit: int) -> None:
    for seed in range(20):
        weights, inputs = random_rows(seed, limit)
        row = weights[MIXER_ROW : 2 * MIXER_ROW]

        assert _dot(weights, MIXER_ROW, inputs) == sum(
            int(w) * int(x) for w, x in zip(row, inputs, strict=True)
        )


@pytest.mark.parametrize("factor", [0, 1, -1, 2**31 - 1, -(2**31), 123_456_789, -987_654])
def test_steps_are_rounded_products_and_touch_their_row_alone(factor: int) -> None:
    for seed in range(20):
        weights, inputs = random_rows(seed, LIMIT)
        weights >>= 4
        before = weights.astype(np.int64)
        change = (inputs.astype(np.int64) * factor + (1 << (SHIFT - 1))) >> SHIFT
        before[MIXER_ROW : 2 * MIXER_ROW] += change

        _add_scaled(weights, MIXER_ROW, inputs, factor)

        assert weights.tolist() == before.tolist()


def test_a_state_is_found_by_its_addresses() -> None:
    state = new_state([100] * 3)

    _touch(addresses_of(state))

    assert state.shared["base"].tolist() == [5]
    assert state.lanes["word"].tolist() == [0, -7, 0]
    assert [int(array[-1]) for array in state[2:]] == [2**32 - 1, 2**40, 255]
