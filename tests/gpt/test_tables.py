"""Integer tables against the real functions, and frozen for ever."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from lmcompress.gpt.tables import (
    EXP2_BITS,
    NORMAL_STEPS,
    cosine_table,
    exp2_table,
    normal_tail_table,
    rotary_tables,
)


@pytest.mark.parametrize("scale_bits", [16, 30])
def test_exp2_table_is_the_rounded_power(scale_bits: int) -> None:
    exponents = -np.arange(1 << EXP2_BITS) / (1 << EXP2_BITS)

    table = exp2_table(scale_bits)

    assert np.abs(table - 2.0 ** (scale_bits + exponents)).max() <= 0.5 + 1e-6
    assert table[0] == 1 << scale_bits


@pytest.mark.parametrize("period", [4, 128, 2048, 4100])
def test_cosine_table_is_the_rounded_cosine(period: int) -> None:
    angles = 2 * np.pi * np.arange(period) / period

    table = cosine_table(period, 14)

    assert len(table) == period
    assert np.abs(table - 2**14 * np.cos(angles)).max() <= 0.5 + 1e-6
    assert [table[0], table[period // 4], table[period // 2]] == [1 << 14, 0, -(1 << 14)]


def test_cosine_table_needs_whole_quarter_turns() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        cosine_table(10, 14)


@pytest.mark.parametrize("base", [10000.0, 100000.0])
def test_rotary_tables_are_the_rounded_functions(base: float) -> None:
    angles = np.arange(300)[:, None] * base ** (-np.arange(8) / 8)

    cos, sin = rotary_tables(base, 8, 300, 14)

    assert np.abs(cos - 2**14 * np.cos(angles)).max() <= 0.5 + 1e-6
    assert np.abs(sin - 2**14 * np.sin(angles)).max() <= 0.5 + 1e-6


def test_tables_never_change() -> None:
    tables = np.concatenate([exp2_table(16), exp2_table(30), cosine_table(2048, 14)])

    digest = hashlib.sha256(tables.astype("<i8").tobytes()).hexdigest()

    assert digest == "b59156af2d5d1b597b729221d4cc3fe0b0562f2d778d7ac06ffe4696d9272285"
    tails = hashlib.sha256(normal_tail_table().astype("<f4").tobytes()).hexdigest()
    assert tails == "edc50067987c8f328ba08a505ad7b19e6d6b6dc8d0dd3c4d708d854b96cc6ecc"


def test_normal_table_holds_the_tails() -> None:
    table = normal_tail_table()

    expected = [math.erfc(i / NORMAL_STEPS / math.sqrt(2)) / 2 for i in range(len(table) - 2)]

    assert np.allclose(table[:-2], expected, rtol=1e-7, atol=0)
    assert table[-1] == table[-2] == 0
