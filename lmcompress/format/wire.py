"""Bytes on the wire: canonical varints, reads that check themselves, writes that are whole.

A varint is an unsigned LEB128 integer: 7 bits a byte, lowest first, the top bit set on all but the
last byte. Only the shortest encoding is accepted, of 63 bits at most: each number has one form.
"""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

from lmcompress.errors import CorruptFrameError, TruncatedFrameError

MAX_VARINT = 2**63 - 1
MAX_VARINT_BYTES = 9
PIECE_BYTES = 1 << 20
"""The most that one read asks for, whatever size the data declares."""
OR_SALVAGE = ", or write what is whole with `lmcompress decompress --salvage`"
"""The end of an error's advice; who salvages already leaves it out."""


def encode_varint(value: int) -> bytes:
    """Returns the shortest encoding; raises ValueError outside 0 ... 2**63 - 1."""
    if not 0 <= value <= MAX_VARINT:
        raise ValueError(f"{value} does not fit in a varint: expected 0 to 2**63 - 1")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def write_all(sink: BinaryIO, data: bytes) -> None:
    """Writes every byte, also where `sink.write` takes only a part at a time (raw pipes)."""
    rest = memoryview(data)
    while rest:
        num_written = sink.write(rest)
        if not num_written:
            raise BlockingIOError("the output takes no bytes: expected a blocking file or pipe")
        rest = rest[num_written:]


def read_some(source: BinaryIO, num_bytes: int) -> bytes:
    """Returns up to so many bytes, none at the end; having none yet is an error, not the end."""
    piece = source.read(num_bytes)
    if piece is None:
        raise BlockingIOError("the input has no bytes yet: expected a blocking file or pipe")
    return piece


def can_seek(source: BinaryIO) -> bool:
    """Whether a source can go back; objects that do not say cannot."""
    seekable = getattr(source, "seekable", None)
    return bool(seekable and seekable())


def read_all(source: BinaryIO) -> bytes:
    """Returns the rest of a source."""
    return b"".join(iter(lambda: read_some(source, PIECE_BYTES), b""))


class ByteReader:
    """Reads a source that may be a pipe: exact counts and a running CRC-32 of what was read.

    It never reads ahead, but for what `peek` shows. In the errors, `what` names the thing read.
    """

    def __init__(self, source: BinaryIO) -> None:
        """Starts at the source's present position."""
        self.position = 0
        """Bytes consumed since construction."""
        self._source = source
        self._peeked = b""
        self._crc32 = 0

    def at_end(self) -> bool:
        """Whether no byte is left; waits for one if the source is a pipe."""
        return not self.peek(1)

    def peek(self, num_bytes: int) -> bytes:
        """Returns the next bytes and leaves them unread; fewer where the source ends."""
        while missing := max(0, num_bytes - len(self._peeked)):
            if not (piece := self._read_piece(missing)):
                break
            self._peeked += piece
        return self._peeked[:num_bytes]

    def read_up_to(self, num_bytes: int) -> bytes:
        """Returns `num_bytes` bytes, or fewer where the source ends; memory grows as they come."""
        pieces = []
        remaining = num_bytes
        while remaining and (piece := self._take_piece(remaining)):
            pieces.append(piece)
            remaining -= len(piece)
            self._crc32 = zlib.crc32(piece, self._crc32)
        self.position += num_bytes - remaining
        return b"".join(pieces)

    def read(self, num_bytes: int, what: str) -> bytes:
        """Returns exactly `num_bytes` bytes; raises TruncatedFrameError where there are fewer."""
        data = self.read_up_to(num_bytes)
        if len(data) < num_bytes:
            raise TruncatedFrameError(
                f"the file ends inside {what}: found {len(data)} bytes, expected {num_bytes}: "
                "it was cut short: download or copy it again"
            )
        return data

    def read_u8(self, what: str) -> int:
        """Returns one byte as an integer."""
        return self.read(1, what)[0]

    def read_u32(self, what: str) -> int:
        """Returns four bytes as a little-endian integer."""
        return int.from_bytes(self.read(4, what), "little")

    def read_varint(self, what: str) -> int:
        """Returns a varint; raises CorruptFrameError if it is padded or over 63 bits."""
        value = 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.read_u8(what)
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    raise CorruptFrameError(f"{what} is a padded varint: the file is damaged")
                return value
        raise CorruptFrameError(f"{what} is a varint of over 63 bits: the file is damaged")

    def skip(self, num_bytes: int, what: str) -> None:
        """Passes over bytes that are not needed, by seeking where the source can.

        A seek beyond the end is noticed by the next read only. The running CRC-32 is reset.
        """
        if can_seek(self._source) and not self._peeked:
            self._source.seek(num_bytes, io.SEEK_CUR)
            self.position += num_bytes
        else:
            for start in range(0, num_bytes, PIECE_BYTES):
                self.read(min(PIECE_BYTES, num_bytes - start), what)
        self._crc32 = 0

    def take_crc32(self, start: int = 0) -> int:
        """Returns the CRC-32 of what was read since the last call; the next starts at `start`."""
        crc32, self._crc32 = self._crc32, start
        return crc32

    def check_crc32(self, what: str) -> int:
        """Reads a u32 and compares it with `take_crc32`; returns it.

        Raises CorruptFrameError if they differ.
        """
        found = self.take_crc32()
        expected = self.read_u32(what)
        self.take_crc32()
        require_crc32(found, expected, what)
        return found

    def _take_piece(self, num_bytes: int) -> bytes:
        if not self._peeked:
            return self._read_piece(num_bytes)
        piece, self._peeked = self._peeked[:num_bytes], self._peeked[num_bytes:]
        return piece

    def _read_piece(self, num_bytes: int) -> bytes:
        return read_some(self._source, min(num_bytes, PIECE_BYTES))


def require_crc32(found: int, expected: int, what: str) -> None:
    """Raises CorruptFrameError, naming `what`, if two CRC-32 values differ."""
    if found != expected:
        raise CorruptFrameError(
            f"{what} is damaged: found CRC-32 {found:08x}, expected {expected:08x}: "
            f"get the file again{OR_SALVAGE}"
        )
