"""What a codec achieved, as numbers. Lower is better for all of them.

The denominator is always the bytes of the original file, never characters or tokens. Over several
files, add up the compressed and the raw bytes first and divide then: a mean of rates is another
number. A rate of nothing, where `raw_bytes` is 0, is nan.

The two compression rates are those of Delétang et al., "Language Modeling Is Compression" (2024).
"""

from __future__ import annotations

import math

HALF_PRECISION_BYTES = 2
"""What Delétang et al. count for a parameter, however the model is stored."""


def bits_per_byte(compressed_bytes: int, raw_bytes: int) -> float:
    """Returns the bits of the whole output, header included, for each raw byte."""
    return code_length_per_byte(8 * compressed_bytes, raw_bytes)


def code_length_per_byte(code_length_bits: float, raw_bytes: int) -> float:
    """Returns bits per byte of a code length that was computed, not written (no header)."""
    _check_counts(code_length_bits, raw_bytes)
    return code_length_bits / raw_bytes if raw_bytes else math.nan


def raw_compression_rate(compressed_bytes: int, raw_bytes: int) -> float:
    """Returns compressed over raw bytes: an eighth of `bits_per_byte`."""
    _check_counts(compressed_bytes, raw_bytes)
    return compressed_bytes / raw_bytes if raw_bytes else math.nan


def adjusted_compression_rate(compressed_bytes: int, model_bytes: int, raw_bytes: int) -> float:
    """Returns the rate with the model counted as part of the output."""
    _check_counts(compressed_bytes, model_bytes)
    return raw_compression_rate(compressed_bytes + model_bytes, raw_bytes)


def half_precision_model_bytes(num_parameters: int) -> int:
    """Returns the model's size as Delétang et al. count it, two bytes a parameter."""
    return HALF_PRECISION_BYTES * num_parameters


def _check_counts(*counts: float) -> None:
    for count in counts:
        if count < 0:
            raise ValueError(f"{count} is negative: expected a count of bits or bytes")
