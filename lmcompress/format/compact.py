"""The compact frame: one segment behind a few bytes of header, for small files.

It says what a decoder must have in 4 bytes each: the beginning of the model's fingerprint and of
the prompt's SHA-256. Neither has a name here, and the context policy is the model's own. Damage is
found by a CRC-32 over the whole frame, another model or prompt by a checksum of the raw bytes.
docs/format.md holds the byte layout.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import BinaryIO, ClassVar, Literal

from lmcompress.errors import CorruptFrameError, UnsupportedVersionError
from lmcompress.format.header import (
    PRECISION_BITS,
    FrameTotals,
    Method,
    SegmentSizes,
    with_crc32,
)
from lmcompress.format.wire import ByteReader, encode_varint, write_all

COMPACT_MAGIC = b"\x89LMc"
PREFIX_BYTES = 4
"""Bytes of each hash that are in the frame."""
MAX_ARITHMETIC_VERSION = 7

# The flags byte. Its top bit tells it from the format version of a frame, whose magic is one bit
# from this one's.
_ALWAYS = 0x80
_ARITHMETIC_SHIFT = 4
_HAS_LANES = 0x08
_HAS_PROMPT = 0x04
_METHOD = 0x03

_WHAT = "the compact frame"


@dataclasses.dataclass(frozen=True)
class CompactHeader:
    """What a decoder must have: nothing if the segment is stored.

    Raises ValueError on values out of range.
    """

    kind: ClassVar[Literal["full", "compact"]] = "compact"
    precision_bits: ClassVar = PRECISION_BITS
    model: ClassVar = ""
    tokenizer: ClassVar = ""
    window: ClassVar = 0
    overlap: ClassVar = 0
    prompt_name: ClassVar = ""

    arithmetic_version: int = 0
    """1 to 7; 0 if stored."""
    fingerprint: bytes = b""
    """The first 4 bytes of the model's; none if stored."""
    prompt_sha256: bytes = b""
    """Its first 4 bytes; none without a prompt."""

    def __post_init__(self) -> None:
        """Checks every field."""
        if not 0 <= self.arithmetic_version <= MAX_ARITHMETIC_VERSION:
            raise ValueError(f"arithmetic version is {self.arithmetic_version}, expected 0 to 7")
        expected = PREFIX_BYTES if self.arithmetic_version else 0
        if len(self.fingerprint) != expected:
            raise ValueError(f"fingerprint has {len(self.fingerprint)} bytes, expected {expected}")
        if len(self.prompt_sha256) not in (0, expected):
            raise ValueError(f"prompt's hash has {len(self.prompt_sha256)} bytes, expected 4")


@dataclasses.dataclass(frozen=True)
class CompactSegment(SegmentSizes):
    """The sizes of a compact frame. Raises ValueError on values that no frame can have."""

    is_short: ClassVar = True
    mismatch: ClassVar = "it was made with another model or prompt than these, or it is damaged"

    raw_checksum: bytes
    """First 4 bytes of the raw bytes' checksum; none if stored, where the CRC-32 is enough."""

    def __post_init__(self) -> None:
        """Checks every field."""
        is_empty_input = self.method is Method.STORED and not self.payload_bytes
        if not is_empty_input or self.raw_bytes or self.lanes:
            super().__post_init__()
        self.check_payload(PRECISION_BITS)
        expected = 0 if self.method is Method.STORED else PREFIX_BYTES
        if len(self.raw_checksum) != expected:
            raise ValueError(f"checksum has {len(self.raw_checksum)} bytes, expected {expected}")


def pack_compact(header: CompactHeader, segment: CompactSegment, payload: bytes) -> bytes:
    """Returns a frame, from its magic to its CRC-32; raises ValueError on a method it lacks."""
    if segment.method > _METHOD:
        raise ValueError(f"a compact frame has no method {segment.method.name.lower()}")
    flags = _ALWAYS | segment.method | header.arithmetic_version << _ARITHMETIC_SHIFT
    sizes = encode_varint(segment.raw_bytes)
    if header.prompt_sha256:
        flags |= _HAS_PROMPT
    if segment.lanes > 1:
        flags |= _HAS_LANES
        sizes += encode_varint(segment.lanes)
    if segment.method is not Method.STORED:
        sizes += encode_varint(segment.payload_bytes)
    hashes = header.fingerprint + header.prompt_sha256
    head = COMPACT_MAGIC + bytes([flags]) + hashes + sizes + segment.raw_checksum
    return with_crc32(head + payload)


class CompactWriter:
    """Writes one frame when it is finished; takes one segment, or none for empty input."""

    def __init__(self, sink: BinaryIO, header: CompactHeader) -> None:
        """Writes nothing: sizes come first in the frame."""
        self.bytes_written = 0
        self._sink = sink
        self._header = header
        self._frame: bytes | None = None

    def write_stored(self, raw: bytes) -> None:
        """Takes a segment whose payload is the raw bytes."""
        self._take(CompactHeader(), CompactSegment(Method.STORED, len(raw), 0, len(raw), b""), raw)

    def write_coded(
        self, raw_bytes: int, lanes: int, payload: bytes, raw_checksum: bytes, method: Method
    ) -> None:
        """Takes a segment that the coder made; raises ValueError if no reader would take it."""
        checksum = raw_checksum[:PREFIX_BYTES]
        segment = CompactSegment(method, raw_bytes, lanes, len(payload), checksum)
        self._take(self._header, segment, payload)

    def coding_overhead(self, lanes: int, payload_bytes: int) -> int:
        """Returns how many bytes a coded frame takes beyond a stored one, payloads apart."""
        sizes = encode_varint(payload_bytes) + (encode_varint(lanes) if lanes > 1 else b"")
        hashes = self._header.fingerprint + self._header.prompt_sha256
        return len(hashes + sizes) + PREFIX_BYTES

    def finish(self) -> None:
        """Writes the frame; nothing can be taken after it."""
        if self._frame is None:
            self.write_stored(b"")
        assert self._frame is not None
        write_all(self._sink, self._frame)
        self.bytes_written = len(self._frame)

    def _take(self, header: CompactHeader, segment: CompactSegment, payload: bytes) -> None:
        if self._frame is not None:
            raise ValueError("a compact frame holds one segment: expected no more writes")
        self._frame = pack_compact(header, segment, payload)


class CompactReader:
    """Reads one frame at construction, then gives its segment, as `FrameReader` does.

    Raises CorruptFrameError, TruncatedFrameError or UnsupportedVersionError.
    """

    is_exhausted = True

    def __init__(self, source: BinaryIO | ByteReader, *, skip_payloads: bool = False) -> None:
        """Reads and checks everything; with `skip_payloads`, the payload comes as b""."""
        stream = source if isinstance(source, ByteReader) else ByteReader(source)
        self.header, segment, payload = _read(stream)
        self.totals = FrameTotals(segment.raw_bytes, 1 if segment.raw_bytes else 0)
        payload = b"" if skip_payloads else payload
        self._segments = iter([(segment, payload)] if segment.raw_bytes else [])

    def __iter__(self) -> Iterator[tuple[CompactSegment, bytes]]:
        """Returns the reader: the segment comes once."""
        return self

    def __next__(self) -> tuple[CompactSegment, bytes]:
        """Returns the segment."""
        return next(self._segments)


def _read(stream: ByteReader) -> tuple[CompactHeader, CompactSegment, bytes]:
    stream.take_crc32()
    if stream.read(len(COMPACT_MAGIC), _WHAT) != COMPACT_MAGIC:
        raise CorruptFrameError(f"not a compact frame: expected it to start with {COMPACT_MAGIC!r}")
    flags = _read_flags(stream)
    try:
        header = _read_header(stream, flags)
        segment = _read_segment(stream, flags)
    except ValueError as exc:
        raise CorruptFrameError(f"{_WHAT} is damaged: {exc}") from exc
    payload = stream.read(segment.payload_bytes, _WHAT)
    stream.check_crc32(_WHAT)
    return header, segment, payload


def _read_flags(stream: ByteReader) -> int:
    flags = stream.read_u8(_WHAT)
    method, has_arithmetic = flags & _METHOD, flags >> _ARITHMETIC_SHIFT & MAX_ARITHMETIC_VERSION
    is_known = flags == _ALWAYS | method if method == Method.STORED else has_arithmetic
    if not flags & _ALWAYS or (method and not is_known):
        raise CorruptFrameError(
            f"{_WHAT} has flags {flags:02x}, expected those of a frame: download it again"
        )
    if not method:
        raise UnsupportedVersionError(f"{_WHAT} has method 0: it needs a newer lmcompress")
    return flags


def _read_header(stream: ByteReader, flags: int) -> CompactHeader:
    if flags & _METHOD == Method.STORED:
        return CompactHeader()
    return CompactHeader(
        arithmetic_version=flags >> _ARITHMETIC_SHIFT & MAX_ARITHMETIC_VERSION,
        fingerprint=stream.read(PREFIX_BYTES, _WHAT),
        prompt_sha256=stream.read(PREFIX_BYTES if flags & _HAS_PROMPT else 0, _WHAT),
    )


def _read_segment(stream: ByteReader, flags: int) -> CompactSegment:
    method = Method(flags & _METHOD)
    raw_bytes = stream.read_varint(_WHAT)
    if method is Method.STORED:
        return CompactSegment(method, raw_bytes, 0, raw_bytes, b"")
    lanes = stream.read_varint(_WHAT) if flags & _HAS_LANES else 1
    if flags & _HAS_LANES and lanes < 2:
        raise ValueError(f"{lanes} lanes are written out, expected 2 or more")
    payload_bytes = stream.read_varint(_WHAT)
    checksum = stream.read(PREFIX_BYTES, _WHAT)
    return CompactSegment(method, raw_bytes, lanes, payload_bytes, checksum)
