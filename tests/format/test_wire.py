"""Varints have one form, and writes are whole."""

from __future__ import annotations

import io
import zlib

import pytest

from lmcompress.errors import CorruptFrameError
from lmcompress.format.wire import MAX_VARINT, ByteReader, encode_varint, write_all


class ThreeByteSink(io.RawIOBase):
    """Cannot seek, and takes at most three bytes per write."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: memoryview) -> int:
        self.taken += bytes(data[:3])
        return min(3, len(data))


def test_sink_that_takes_few_bytes_gets_all():
    sink = ThreeByteSink()

    write_all(sink, b"0123456789")

    assert sink.taken == b"0123456789"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (MAX_VARINT, "ff" * 8 + "7f")],
)
def test_varint_bytes(value, encoded):
    assert encode_varint(value).hex() == encoded
    assert ByteReader(io.BytesIO(bytes.fromhex(encoded))).read_varint("a number") == value


@pytest.mark.parametrize("encoded", ["8000", "ff00", "808000", "ff" * 9 + "01", "80" * 9 + "00"])
def test_padded_or_oversized_varint_raises(encoded):
    with pytest.raises(CorruptFrameError, match="varint"):
        ByteReader(io.BytesIO(bytes.fromhex(encoded))).read_varint("a number")


@pytest.mark.parametrize("value", [-1, 2**63])
def test_number_outside_63_bits_has_no_varint(value):
    with pytest.raises(ValueError, match="varint"):
        encode_varint(value)


def test_what_was_peeked_at_is_still_read():
    for size in range(5):
        reader = ByteReader(io.BytesIO(b"abcde"))
        assert reader.peek(size) == b"abcde"[:size]
        assert reader.position == 0
        assert not reader.at_end()
        assert [reader.read_up_to(2), reader.peek(9), reader.read_up_to(9)] == [
            b"ab",
            *[b"cde"] * 2,
        ]
        assert reader.at_end()
        assert reader.take_crc32() == zlib.crc32(b"abcde")
