"""The coder inverts itself and wastes at most 64 bits."""

from __future__ import annotations

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcompress.errors import CorruptFrameError
from lmcompress.format import compact
from lmcompress.gpt import constants
from lmcompress.range_coder import (
    PRECISION_BITS,
    RangeEncoder,
    SymbolDecoder,
    check_freqs,
    long_payload,
    quantized_code_length_bits,
)
from lmcompress.range_decoder import RangeDecoder


def freqs_from(probs: np.ndarray) -> np.ndarray:
    budget = (1 << PRECISION_BITS) - probs.shape[1]
    freqs = np.floor(probs / probs.sum(1, keepdims=True) * budget)
    freqs[np.arange(len(probs)), probs.argmax(1)] += budget - freqs.sum(1)
    return freqs.astype(np.float32)


def roundtrip(symbols: np.ndarray, freqs: np.ndarray, cuts: int) -> tuple[np.ndarray, bytes]:
    encoder = RangeEncoder()
    for start in range(0, len(symbols), cuts):
        encoder.encode(symbols[start : start + cuts], freqs[start : start + cuts])
    payload = encoder.payload()
    decoder = RangeDecoder(payload)
    parts = [decoder.decode(freqs[i : i + cuts]) for i in range(0, len(symbols), cuts)]
    return np.concatenate(parts), payload


@pytest.mark.parametrize("vocab_size", [2, 3, 256, 1000])
@pytest.mark.parametrize("concentration", [0.005, 0.1, 10.0])
@pytest.mark.parametrize("num_symbols", [1, 40, 3000])
def test_overhead_over_the_quantized_code_length_is_at_most_64_bits(
    vocab_size: int, concentration: float, num_symbols: int
) -> None:
    rng = np.random.default_rng(7)
    freqs = freqs_from(rng.dirichlet(np.full(vocab_size, concentration) + 1e-3, num_symbols))
    check_freqs(freqs)
    cumulative = np.cumsum(freqs.astype(np.float64) + 1, axis=1) / (1 << PRECISION_BITS)
    symbols = (cumulative < rng.random((num_symbols, 1))).sum(1).astype(np.int32)

    decoded, payload = roundtrip(symbols, freqs, 64)

    assert np.array_equal(decoded, symbols)
    overhead = 8 * len(payload) - quantized_code_length_bits(freqs, symbols)
    assert -1e-3 <= overhead <= 64


@given(st.lists(st.integers(0, 255), min_size=1, max_size=300), st.integers(1, 50))
@settings(deadline=None, max_examples=30)
def test_any_symbols_come_back_whatever_their_probability(values: list[int], cuts: int) -> None:
    symbols = np.array(values, np.int32)
    certain = np.zeros((len(values), 256), np.float32)
    certain[:, 65] = (1 << PRECISION_BITS) - 256  # every other symbol has frequency 1

    decoded, _ = roundtrip(symbols, certain, cuts)

    assert np.array_equal(decoded, symbols)


@pytest.mark.parametrize("vocab_size", [3, 256])
def test_intervals_code_what_whole_rows_code(vocab_size: int) -> None:
    rng = np.random.default_rng(8)
    freqs = freqs_from(rng.dirichlet(np.full(vocab_size, 0.02) + 1e-9, 2000))
    symbols = rng.integers(0, vocab_size, len(freqs)).astype(np.int32)
    symbols[:100], symbols[100:200] = 0, vocab_size - 1
    stops = np.cumsum(freqs.astype(np.int64) + 1, axis=1)[np.arange(len(freqs)), symbols]
    widths = freqs[np.arange(len(freqs)), symbols].astype(np.int64) + 1
    rows, intervals = RangeEncoder(), RangeEncoder()

    rows.encode(symbols, freqs)
    intervals.encode_intervals(stops - widths, widths)

    assert intervals.payload() == rows.payload()


def test_a_certain_predictor_costs_almost_nothing() -> None:
    symbols = np.full(100_000, 65, np.int32)
    certain = np.zeros((1, 256), np.float32)
    certain[:, 65] = (1 << PRECISION_BITS) - 256

    _, payload = roundtrip(symbols, np.repeat(certain, len(symbols), 0), 10_000)

    assert len(payload) <= 8


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.astype(np.float64),
        np.asfortranarray,
        lambda w: w + 0.5,
        lambda w: w - 1,
        lambda w: np.where(w == w.max(), w + 1, w),
        lambda w: w[:, :1],
        lambda w: w * np.float32(np.nan),
    ],
    ids=["float64", "fortran", "fractions", "negative", "sum", "one-symbol", "nan"],
)
def test_frequencies_that_the_coder_could_not_invert_are_found(change) -> None:  # type: ignore[no-untyped-def]
    freqs = freqs_from(np.eye(4, 8) + 1e-9)
    check_freqs(freqs)

    with pytest.raises(ValueError, match=r"freqs|alphabet"):
        check_freqs(change(freqs))


def test_a_payload_of_odd_length_is_refused() -> None:
    with pytest.raises(CorruptFrameError, match="multiple of 4"):
        RangeDecoder(b"12345")


@pytest.mark.parametrize("vocab_size", [2, 3, 256])
def test_what_was_never_encoded_is_decoded_as_constriction_does(vocab_size: int) -> None:
    rng = np.random.default_rng(5)
    family = constriction.stream.model.Categorical(perfect=False)
    for _ in range(30):
        freqs = freqs_from(rng.dirichlet(np.full(vocab_size, 0.3) + 1e-3, 200))
        words = rng.integers(0, 2**32, 400, dtype=np.uint32)
        ours = RangeDecoder(words.astype("<u4").tobytes())
        theirs = constriction.stream.queue.RangeDecoder(words)
        for row in freqs:
            try:
                [expected] = theirs.decode(family, row[None])
            except AssertionError:
                with pytest.raises(CorruptFrameError, match="cannot be decoded"):
                    ours.decode(row[None])
                break
            assert ours.decode(row[None]) == [expected]


def test_a_point_outside_the_interval_is_damage() -> None:
    # A frequency is worth 2**40 - 1 of the first interval: 2**24 of them leave its end out.
    with pytest.raises(CorruptFrameError, match="cannot be decoded"):
        RangeDecoder(b"\xff" * 8).decode(freqs_from(np.ones((1, 4))))


@pytest.mark.parametrize("size", [0, 4, 400])
def test_decoding_ends_soon_after_the_payload(size: int) -> None:
    freqs = freqs_from(np.ones((1, 256)))
    decoder = RangeDecoder(bytes(size))  # a byte of text takes one of the payload

    decoder.decode(np.repeat(freqs, size, 0))

    with pytest.raises(CorruptFrameError, match=f"payload of {size} bytes ends too early"):
        decoder.decode(np.repeat(freqs, 20, 0))


@given(
    st.integers(0, 200), st.sampled_from([0.01, 0.3, 10.0]), st.booleans(), st.integers(0, 2**32)
)
@settings(deadline=None, max_examples=200)
def test_a_short_payload_decodes_and_wastes_two_bytes_at_most(
    num_symbols: int, concentration: float, first: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    freqs = freqs_from(rng.dirichlet(np.full(256, concentration) + 1e-3, num_symbols))
    cumulative = np.cumsum(freqs.astype(np.float64) + 1, axis=1) / (1 << PRECISION_BITS)
    symbols = (cumulative < rng.random((num_symbols, 1))).sum(1).astype(np.int32)
    if first:  # the coder's interval stays at 0
        symbols[:] = 0
    encoder = RangeEncoder()
    encoder.encode(symbols, freqs)

    short = encoder.short_payload()

    assert np.array_equal(RangeDecoder(long_payload(short)).decode(freqs), symbols)
    overhead = 8 * len(short) - quantized_code_length_bits(freqs, symbols)
    assert -64 <= overhead <= 16
    assert len(short) <= len(encoder.payload())


@given(st.lists(st.integers(0, 4), max_size=200), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_decoding_one_by_one_gives_the_same(values: list[int], seed: int) -> None:
    symbols = np.array(values, np.int32)
    freqs = freqs_from(np.random.default_rng(seed).dirichlet(np.full(5, 0.2), len(values)) + 1e-9)
    encoder = RangeEncoder()
    encoder.encode(symbols, freqs)
    decoder = SymbolDecoder(long_payload(encoder.short_payload()))

    assert [decoder.decode(freqs[i : i + 1]) for i in range(len(values))] == values


def test_the_end_of_the_last_interval_is_not_a_point_in_it() -> None:
    # constriction's first interval is [0, 2**64), and a frequency is worth 2**40 - 1 of it. The
    # first symbol, [1, 2) of the frequencies, leaves 2**40 - 1 from L = 2**40 - 1 on, where a
    # frequency is worth 2**16 - 1; the second, [65534, 65535), leaves M = L + 65534 * 65535 to
    # M + 65535. M is 1 mod 2**16, so the first number from M on whose two lowest bytes are zero is
    # the end of the interval: a decoder would take it for the next symbol.
    freqs = np.array([[0, 0, (1 << PRECISION_BITS) - 3]] * 2, np.float32)
    freqs[1] = [65533, 0, (1 << PRECISION_BITS) - 3 - 65533]
    check_freqs(freqs)
    symbols = np.array([1, 1], np.int32)
    encoder = RangeEncoder()
    encoder.encode(symbols, freqs)

    assert np.array_equal(
        RangeDecoder(long_payload(encoder.short_payload())).decode(freqs), symbols
    )


def test_all_modules_mean_the_same_precision() -> None:
    # Defined three times: what reads headers must not import NumPy, nor the GPT the coder.
    assert PRECISION_BITS == compact.PRECISION_BITS == constants.PRECISION_BITS


LETTERS = "AIX"
PROBABILITIES = {
    "": (0.45, 0.30, 0.25),
    "A": (0.20, 0.60, 0.20),
    "AI": (0.20, 0.45, 0.35),
    "AIX": (0.60, 0.20, 0.20),
}
"""Of A, I and X after the letters before them.

The worked example of Delétang et al. (2024), Figure 1 and appendix A: "AIXI" has the interval
[0.322, 0.341) and the code 0101010. Its letters' probabilities are the figure's; those of the other
letters are ours, chosen to give this interval.
"""


def letter_freqs(before: str) -> np.ndarray:
    return freqs_from(np.array([PROBABILITIES[before]]))


def letters_of(payload: bytes) -> str:
    """Returns the first four letters of a payload, or those up to one that the table lacks."""
    decoder, text = RangeDecoder(payload), ""
    while text in PROBABILITIES:
        text += LETTERS[decoder.decode(letter_freqs(text))[0]]
    return text


def test_aixi_becomes_a_number_in_the_papers_interval() -> None:
    encoder = RangeEncoder()
    for i, letter in enumerate("AIXI"):
        encoder.encode(np.array([LETTERS.index(letter)], np.int32), letter_freqs("AIXI"[:i]))

    assert 0.3222 <= int.from_bytes(encoder.payload()[:4], "little") / 2**32 < 0.3411
    assert letters_of(encoder.payload()) == "AIXI"


@pytest.mark.parametrize("rest", [0, 1, 0x1FFFFFF, 0x1ABCDEF])
def test_0101010_becomes_aixi_whatever_follows(rest: int) -> None:
    assert letters_of((0b0101010 << 25 | rest).to_bytes(4, "little")) == "AIXI"


@pytest.mark.parametrize(
    ("number", "text"), [(0.3221, "AIXA"), (0.3223, "AIXI"), (0.3410, "AIXI"), (0.3412, "AIXX")]
)
def test_the_interval_ends_where_the_papers_does(number: float, text: str) -> None:
    assert letters_of(int(number * 2**32).to_bytes(4, "little")) == text
