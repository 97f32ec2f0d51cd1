"""The full `.lmc` frame: a header, segments that each decode alone, an end marker.

docs/format.md holds the byte layout. A checksum covers every byte of a frame, and a declared size
is believed only when the bytes are there. The checksums find damage; they do not stop a forger.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from lmcompress.errors import CorruptFrameError, TruncatedFrameError, UnsupportedVersionError
from lmcompress.format.compact import COMPACT_MAGIC
from lmcompress.format.frame import raw_checksum
from lmcompress.format.header import (
    END_MARKER,
    FORMAT_VERSION,
    LAST_METHOD,
    MAGIC,
    MAX_HEADER_BYTES,
    RAW_CHECKSUM_BYTES,
    FrameHeader,
    FrameTotals,
    FullSegment,
    Method,
    unpack_fields,
)
from lmcompress.format.wire import ByteReader, require_crc32, write_all


class FrameWriter:
    """Writes one frame in one pass; the sink need not seek and is not closed."""

    def __init__(self, sink: BinaryIO, header: FrameHeader) -> None:
        """Writes the header at once."""
        self.header = header
        self.bytes_written = 0
        self._sink = sink
        self._totals = FrameTotals(0, 0)
        self._is_finished = False
        self._chain = 0
        self._write_header(header.pack())

    @classmethod
    def continued(cls, sink: BinaryIO, reader: FrameReader, bytes_written: int) -> FrameWriter:
        """Returns a writer that goes on after the last segment that a reader has read.

        Args:
          sink: Is to hold the frame up to there, and no more.
          reader: Of that frame.
          bytes_written: Bytes of the frame up to there.
        """
        writer = object.__new__(cls)
        writer.header, writer.bytes_written, writer._sink = reader.header, bytes_written, sink
        writer._totals, writer._chain = reader.found, reader.chain
        writer._is_finished = False
        return writer

    def write_stored(self, raw: bytes) -> None:
        """Writes a segment whose payload is the raw bytes."""
        crc32, size = zlib.crc32(raw), len(raw)
        self._write_segment(
            FullSegment(Method.STORED, size, 0, size, crc32, raw_checksum(raw)), raw
        )

    def write_coded(
        self,
        raw_bytes: int,
        lanes: int,
        payload: bytes,
        raw_checksum: bytes,
        method: Method = Method.CODED,
    ) -> None:
        """Writes a segment that the coder made; raises ValueError if no reader would take it."""
        crc32 = zlib.crc32(payload)
        self._write_segment(
            FullSegment(method, raw_bytes, lanes, len(payload), crc32, raw_checksum), payload
        )

    def coding_overhead(self, lanes: int, payload_bytes: int) -> int:
        """Returns 0: the few bytes of sizes that a stored segment lacks are not counted."""
        return 0

    def finish(self) -> None:
        """Writes the end marker; nothing can be written after it."""
        self._write_header(self._totals.pack(self._chain))
        self._is_finished = True

    def _write_segment(self, segment: FullSegment, payload: bytes) -> None:
        segment.check_payload(self.header.precision_bits)
        self._write_header(segment.pack(self._chain))
        self._write(payload)
        self._totals = self._totals.with_segment(segment)

    def _write_header(self, packed: bytes) -> None:
        self._write(packed)
        self._chain = int.from_bytes(packed[-4:], "little")

    def _write(self, data: bytes) -> None:
        if self._is_finished:
            raise ValueError("the frame is finished: expected no more writes")
        write_all(self._sink, data)
        self.bytes_written += len(data)


class FrameReader:
    """Reads one frame: the header at construction, then an iterator of its segments.

    Yields (segment, payload); the payload's CRC-32 was checked. Raises CorruptFrameError,
    TruncatedFrameError or UnsupportedVersionError. What comes after the end marker is left unread:
    `read_frames` looks at it.
    """

    def __init__(self, source: BinaryIO | ByteReader, *, skip_payloads: bool = False) -> None:
        """Reads the header; with `skip_payloads`, payloads come as b"" and are not checked."""
        self._stream = source if isinstance(source, ByteReader) else ByteReader(source)
        self._skip_payloads = skip_payloads
        self._totals: FrameTotals | None = None
        self.header, self.chain = _read_header(self._stream)
        self.found = FrameTotals(0, 0)
        """Of the segments so far."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the end marker was read and agreed with the segments."""
        return self._totals is not None

    @property
    def totals(self) -> FrameTotals:
        """The end marker's totals; raises ValueError before the last segment was read."""
        if self._totals is None:
            raise ValueError("totals stand at the frame's end: iterate over all segments first")
        return self._totals

    def __iter__(self) -> Iterator[tuple[FullSegment, bytes]]:
        """Returns the reader: segments come once."""
        return self

    def __next__(self) -> tuple[FullSegment, bytes]:
        """Reads the next segment.

        After an exception the reader is as before, so a caller may go back in the source and try
        again, once more bytes are there.
        """
        if self._totals is not None:
            raise StopIteration
        name = f"segment {self.found.num_segments + 1}"
        found = read_header(self._stream, self.chain, self.header.precision_bits, name)
        if isinstance(found, FrameTotals):
            self._totals = self._checked(found)
            raise StopIteration
        segment, chain = found
        payload = self._read_payload(segment, f"the payload of {name}")
        self.found, self.chain = self.found.with_segment(segment), chain
        return segment, payload

    def _read_payload(self, segment: FullSegment, what: str) -> bytes:
        if self._skip_payloads:
            self._stream.skip(segment.payload_bytes, what)
            return b""
        return read_payload(self._stream, segment, what)

    def _checked(self, declared: FrameTotals) -> FrameTotals:
        if declared != self.found:
            raise CorruptFrameError(
                f"found {self.found.num_segments} segments of {self.found.raw_bytes} raw bytes, "
                f"expected {declared.num_segments} of {declared.raw_bytes}: segments were lost or "
                "added"
            )
        return declared


def read_header(
    stream: ByteReader, chain: int | None, precision_bits: int, name: str
) -> tuple[FullSegment, int] | FrameTotals:
    """Reads what follows a payload: a segment's header, with its CRC-32, or the end marker.

    Args:
      stream: Where it begins.
      chain: CRC-32 of the header before, from which this one's goes on; None if it is not known,
        and this one's is not checked.
      precision_bits: As the frame's header says.
      name: Of the segment, for errors.
    """
    stream.take_crc32(chain or 0)
    method = stream.read_u8("a frame without an end marker")
    if method == END_MARKER:
        what = "the end marker"
        totals = FrameTotals(stream.read_varint(what), stream.read_varint(what))
        stream.check_crc32(what)
        return totals
    if method > LAST_METHOD:
        raise CorruptFrameError(f"{name} has method {method}, expected 0 to 127: download it again")
    what = f"the header of {name}"
    payload_bytes = raw_bytes = stream.read_varint(what)
    lanes = 0
    if method != Method.STORED:
        lanes, payload_bytes = stream.read_varint(what), stream.read_varint(what)
    crc32, checksum = stream.read_u32(what), stream.read(RAW_CHECKSUM_BYTES, what)
    following = stream.read_u32(what) if chain is None else stream.check_crc32(what)
    if method not in set(Method):
        raise UnsupportedVersionError(
            f"{name} has method {method}, this lmcompress knows those up to {max(Method)}: "
            "decompress it with a newer version"
        )
    try:
        segment = FullSegment(Method(method), raw_bytes, lanes, payload_bytes, crc32, checksum)
        segment.check_payload(precision_bits)
    except ValueError as exc:
        raise CorruptFrameError(f"{what} is damaged: {exc}") from exc
    return segment, following


def read_payload(stream: ByteReader, segment: FullSegment, what: str) -> bytes:
    """Returns the payload that begins here, checked; in errors, `what` names it."""
    stream.take_crc32()
    payload = stream.read(segment.payload_bytes, what)
    require_crc32(stream.take_crc32(), segment.payload_crc32, what)
    return payload


def _read_header(stream: ByteReader) -> tuple[FrameHeader, int]:
    offset, what = stream.position, "the frame's header"
    stream.take_crc32()
    magic = stream.read_up_to(len(MAGIC))
    if magic != MAGIC[: len(magic)]:
        where = "not an .lmc file" if offset == 0 else f"after a frame, byte {offset} on, no frame"
        expected = f"{MAGIC.hex()} or {COMPACT_MAGIC.hex()}"
        raise CorruptFrameError(f"{where}: starts with {magic.hex()}, expected {expected}")
    if len(magic) < len(MAGIC):
        raise TruncatedFrameError(
            f"found {len(magic)} bytes, expected an .lmc file: download it again"
        )
    version = stream.read_u8(what)
    if version == 0:
        raise CorruptFrameError("found format version 0, expected 1: the file is damaged")
    if version > FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"the file has format version {version}, expected {FORMAT_VERSION}: "
            "it needs a newer lmcompress"
        )
    header_bytes = stream.read_varint(what)
    if header_bytes > MAX_HEADER_BYTES:
        raise CorruptFrameError(f"{what} has {header_bytes} bytes, expected <= {MAX_HEADER_BYTES}")
    fields = stream.read(header_bytes, what)
    crc32 = stream.check_crc32(what)
    return unpack_fields(fields), crc32
