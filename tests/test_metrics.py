from __future__ import annotations

import math

import pytest

from lmcompress import metrics


def test_quarter_of_the_size_is_two_bits_per_byte() -> None:
    assert metrics.bits_per_byte(250, 1000) == 2.0
    assert metrics.raw_compression_rate(250, 1000) == 0.25


def test_multi_byte_characters_count_as_their_bytes() -> None:
    raw = "日本語".encode()  # 3 characters, 9 bytes

    assert metrics.bits_per_byte(9, len(raw)) == 8.0


def test_model_counts_as_output_in_the_adjusted_rate() -> None:
    assert metrics.adjusted_compression_rate(250, 750, 1000) == 1.0
    assert metrics.adjusted_compression_rate(250, 1750, 1000) == 2.0
    assert metrics.adjusted_compression_rate(250, 0, 1000) == 0.25


def test_parameters_cost_two_bytes_as_in_the_paper() -> None:
    # 3.2 million parameters on enwik9: 6.4 MB, a rate of 0.0064 before a byte is coded.
    model_bytes = metrics.half_precision_model_bytes(3_200_000)

    assert model_bytes == 6_400_000
    assert metrics.adjusted_compression_rate(0, model_bytes, 10**9) == 0.0064


def test_code_length_may_be_a_fraction_of_a_bit() -> None:
    assert metrics.code_length_per_byte(0.5, 2) == 0.25


@pytest.mark.parametrize("compressed_bytes", [0, 1, 317, 10**9])
def test_bits_per_byte_is_eight_times_the_raw_rate(compressed_bytes: int) -> None:
    # Scaling by 8 is exact in binary floating point.
    assert metrics.bits_per_byte(compressed_bytes, 999) == 8 * metrics.raw_compression_rate(
        compressed_bytes, 999
    )


def test_rates_of_an_empty_file_are_nan() -> None:
    assert math.isnan(metrics.bits_per_byte(20, 0))
    assert math.isnan(metrics.code_length_per_byte(1.5, 0))
    assert math.isnan(metrics.raw_compression_rate(0, 0))
    assert math.isnan(metrics.adjusted_compression_rate(20, 1000, 0))


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.bits_per_byte(-1, 10),
        lambda: metrics.bits_per_byte(1, -10),
        lambda: metrics.adjusted_compression_rate(10, -5, 10),
    ],
)
def test_negative_counts_raise(call: object) -> None:
    with pytest.raises(ValueError, match="is negative"):
        call()  # type: ignore[operator]
