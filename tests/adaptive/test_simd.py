"""The mixer's vector code computes what integers do; a state is found by its addresses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lmcompress.adaptive.ends import TUNING as ENDS
from lmcompress.adaptive.logistic import LIMIT, TOTAL
from lmcompress.adaptive.mixing import ERROR_SHIFT
from lmcompress.adaptive.simd import CHANGE_SHIFT, WEIGHT_SHIFT, add_scaled, dot
from lmcompress.adaptive.state import LARGE, MIXER_ROW, SMALL, new_state
from lmcompress.adaptive.state_pointer import addresses_of, state_at
from lmcompress.jit.compiler import lean_kernel

MAX_ERROR = (TOTAL * max(tuning.first_rate for tuning in (SMALL, LARGE, ENDS))) >> ERROR_SHIFT


@lean_kernel
def _dot(weights, at, inputs):  # type: ignore[no-untyped-def]
    return dot(weights, at, inputs)


@lean_kernel
def _add_scaled(weights, at, inputs, factor):  # type: ignore[no-untyped-def]
    add_scaled(weights, at, inputs, np.int32(factor))


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
def test_dot_is_the_sum_modulo_two_to_the_32(limit: int) -> None:
    for seed in range(20):
        weights, inputs = random_rows(seed, limit)
        row = weights[MIXER_ROW : 2 * MIXER_ROW]
        total = sum((int(w) >> WEIGHT_SHIFT) * int(x) for w, x in zip(row, inputs, strict=True))

        assert _dot(weights, MIXER_ROW, inputs) == (total + 2**31) % 2**32 - 2**31


@pytest.mark.parametrize("factor", [0, 1, -1, MAX_ERROR, -MAX_ERROR, 123_456, -98_765])
def test_steps_are_rounded_products_and_touch_their_row_alone(factor: int) -> None:
    for seed in range(20):
        weights, inputs = random_rows(seed, LIMIT)
        weights >>= 4
        before = weights.astype(np.int64)
        change = (inputs.astype(np.int64) * factor + (1 << (CHANGE_SHIFT - 1))) >> CHANGE_SHIFT
        before[MIXER_ROW : 2 * MIXER_ROW] += change

        _add_scaled(weights, MIXER_ROW, inputs, factor)

        assert weights.tolist() == before.tolist()


def test_a_state_is_found_by_its_addresses() -> None:
    state = new_state([100] * 3)

    _touch(addresses_of(state))

    assert state.shared["base"].tolist() == [5]
    assert state.lanes["word"].tolist() == [0, -7, 0]
    assert [int(array[-1]) for array in state[2:]] == [2**32 - 1, 2**40, 255]
