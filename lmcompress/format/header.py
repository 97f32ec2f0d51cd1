"""The parts of an `.lmc` frame and their bytes: header, segment header, end marker.

The byte layout is docs/format.md's. All integers are little-endian or varints (see `wire.py`).
"""

from __future__ import annotations

import dataclasses
import enum
import io
import zlib
from typing import ClassVar, Literal

from lmcompress.errors import CorruptFrameError, TruncatedFrameError, UnsupportedVersionError
from lmcompress.format.wire import MAX_VARINT, ByteReader, encode_varint

MAGIC = b"\x89LMC"
FORMAT_VERSION = 1
FINGERPRINT_BYTES = 16
RAW_CHECKSUM_BYTES = 8
PROMPT_SHA256_BYTES = 32
MAX_NAME_BYTES = 255
MAX_HEADER_BYTES = 1 << 16
MAX_SEGMENT_BYTES = 1 << 30
PRECISION_BITS = 24
"""Precision of the frames that this version writes."""
FIRST_SKIPPABLE_TAG = 128
END_MARKER = 0
LAST_METHOD = 127
"""Those that are not known yet have headers like those that are coded."""


class _Tag(enum.IntEnum):
    MODEL = 1
    FINGERPRINT = 2
    ARITHMETIC_VERSION = 3
    TOKENIZER = 4
    PRECISION_BITS = 5
    CONTEXT_POLICY = 6
    PROMPT = 7


_MANDATORY = (_Tag.MODEL, _Tag.FINGERPRINT, _Tag.ARITHMETIC_VERSION)


class Method(enum.IntEnum):
    """How a segment's payload holds its raw bytes."""

    STORED = 1
    CODED = 2
    MIXED = 3
    """Coded after the adaptive stage."""
    ADAPTIVE = 4
    """Coded by the adaptive stage alone, as the model "none" does."""


@dataclasses.dataclass(frozen=True)
class FrameHeader:
    """What a decoder must know about a frame. Raises ValueError on values out of range."""

    kind: ClassVar[Literal["full", "compact"]] = "full"

    model: str
    """The model's name: 1 to 255 bytes of UTF-8 without control characters."""
    fingerprint: bytes
    """16 bytes: hash of the quantized weights, configuration and tokenizer."""
    arithmetic_version: int
    tokenizer: str = "bytes"
    precision_bits: int = PRECISION_BITS
    """A row of frequencies sums to 2**precision_bits; 9 to 32."""
    window: int = 0
    """Tokens per model window; 0 if the model streams."""
    overlap: int = 0
    """Tokens that a window takes over from the one before; less than `window`, or 0."""
    prompt_sha256: bytes = b""
    """32 bytes: SHA-256 of the text that the decoder must have read before; none if empty."""
    prompt_name: str = ""
    """How an error names that text where it is missing."""

    def __post_init__(self) -> None:
        """Checks every field."""
        _check_name("model name", self.model)
        _check_name("tokenizer name", self.tokenizer)
        if len(self.fingerprint) != FINGERPRINT_BYTES:
            raise ValueError(f"fingerprint has {len(self.fingerprint)} bytes, expected 16")
        if not 0 <= self.arithmetic_version <= MAX_VARINT:
            raise ValueError(f"arithmetic version is {self.arithmetic_version}, expected 0 or more")
        if not 9 <= self.precision_bits <= 32:
            raise ValueError(f"precision is {self.precision_bits} bits, expected 9 to 32")
        if not 0 <= self.window <= MAX_VARINT:
            raise ValueError(f"window is {self.window} tokens, expected 0 or more")
        if not 0 <= self.overlap < max(self.window, 1):
            raise ValueError(f"overlap is {self.overlap}, expected less than window {self.window}")
        if len(self.prompt_sha256) not in (0, PROMPT_SHA256_BYTES):
            raise ValueError(f"prompt's hash has {len(self.prompt_sha256)} bytes, expected 32")
        if self.prompt_sha256:
            _check_name("prompt name", self.prompt_name)

    def pack(self) -> bytes:
        """Returns the frame's first bytes, from the magic to the header's CRC-32."""
        values = {
            _Tag.MODEL: self.model.encode(),
            _Tag.FINGERPRINT: self.fingerprint,
            _Tag.ARITHMETIC_VERSION: encode_varint(self.arithmetic_version),
        }
        if self.tokenizer != "bytes":
            values[_Tag.TOKENIZER] = self.tokenizer.encode()
        if self.precision_bits != PRECISION_BITS:
            values[_Tag.PRECISION_BITS] = encode_varint(self.precision_bits)
        if self.window:
            values[_Tag.CONTEXT_POLICY] = encode_varint(self.window) + encode_varint(self.overlap)
        if self.prompt_sha256:
            values[_Tag.PROMPT] = self.prompt_sha256 + self.prompt_name.encode()
        fields = b"".join(bytes([t]) + encode_varint(len(v)) + v for t, v in values.items())
        return with_crc32(MAGIC + bytes([FORMAT_VERSION]) + encode_varint(len(fields)) + fields)


@dataclasses.dataclass(frozen=True)
class SegmentSizes:
    """Fields of segments in every kind of frame. Raises ValueError on impossible values."""

    method: Method
    raw_bytes: int
    lanes: int
    """Lanes that the model stepped through together; 0 if stored."""
    payload_bytes: int

    def __post_init__(self) -> None:
        """Checks every field."""
        if not 1 <= self.raw_bytes <= MAX_SEGMENT_BYTES:
            raise ValueError(f"a segment has {self.raw_bytes} raw bytes, expected 1 to 2**30")
        if not 0 <= self.payload_bytes <= MAX_SEGMENT_BYTES:
            raise ValueError(f"a segment has {self.payload_bytes} payload bytes, expected <= 2**30")
        if self.method is not Method.STORED and not 1 <= self.lanes <= self.raw_bytes:
            raise ValueError(f"{self.lanes} lanes, expected 1 to {self.raw_bytes} (raw bytes)")
        if self.method is Method.STORED and (self.lanes, self.payload_bytes) != (0, self.raw_bytes):
            raise ValueError("a stored segment has no lanes, and its payload is the raw bytes")

    def check_payload(self, precision_bits: int) -> None:
        """Raises ValueError if the payload is too short for the raw bytes it is to hold.

        Each of 256 bytes has a frequency of 1 or more out of 2**P, so a byte costs at least
        -log2(1 - 255 / 2**P) > 255 / (2**P * ln 2) bits. A mixed byte is eight bits that each cost
        more than an eighth of that. The coder's end may save 64 bits, and ln 2 < 7 / 10 keeps the
        bound in integers.
        """
        if self.method is Method.STORED:
            return
        bits = 8 * self.payload_bytes + 64
        most = bits * (7 << precision_bits) // (10 * 255)
        if self.raw_bytes > most:
            raise ValueError(
                f"{self.payload_bytes} payload bytes cannot hold {self.raw_bytes} raw bytes, "
                f"expected {most} at most"
            )


@dataclasses.dataclass(frozen=True)
class FullSegment(SegmentSizes):
    """A segment's header in a full frame. Raises ValueError on impossible values."""

    is_short: ClassVar = False
    mismatch: ClassVar = "the file is damaged, or the model computes other numbers here"

    payload_crc32: int
    raw_checksum: bytes
    """`raw_checksum` of the raw bytes."""

    def __post_init__(self) -> None:
        """Checks every field."""
        super().__post_init__()
        if not 0 <= self.payload_crc32 < 2**32:
            raise ValueError(f"payload CRC-32 is {self.payload_crc32}, expected 32 bits")
        if len(self.raw_checksum) != RAW_CHECKSUM_BYTES:
            raise ValueError(f"raw checksum has {len(self.raw_checksum)} bytes, expected 8")

    def pack(self, chain: int) -> bytes:
        """Returns the bytes that come before the payload.

        `chain` is the CRC-32 of the header before, from which this one's goes on: no segment can
        be moved.
        """
        packed = bytes([self.method]) + encode_varint(self.raw_bytes)
        if self.method is not Method.STORED:
            packed += encode_varint(self.lanes) + encode_varint(self.payload_bytes)
        packed += self.payload_crc32.to_bytes(4, "little") + self.raw_checksum
        return with_crc32(packed, chain)


@dataclasses.dataclass(frozen=True)
class FrameTotals:
    """The totals that the end marker holds."""

    raw_bytes: int
    num_segments: int

    def with_segment(self, segment: SegmentSizes) -> FrameTotals:
        """Returns the totals with one more segment."""
        return FrameTotals(self.raw_bytes + segment.raw_bytes, self.num_segments + 1)

    def pack(self, chain: int) -> bytes:
        """Returns the end marker; `chain` is the CRC-32 of the last header."""
        sizes = encode_varint(self.raw_bytes) + encode_varint(self.num_segments)
        return with_crc32(bytes([END_MARKER]) + sizes, chain)


def unpack_fields(fields: bytes) -> FrameHeader:
    """Reads the header fields, between the header's length and its CRC-32.

    Raises:
      CorruptFrameError: If a field is missing, repeated, cut short or out of range.
      UnsupportedVersionError: If a field is unknown and may not be skipped.
    """
    try:
        return _header_from(_split_fields(fields))
    except (ValueError, TruncatedFrameError) as exc:
        raise CorruptFrameError(f"the frame's header is damaged: {exc}") from exc


def _split_fields(fields: bytes) -> dict[int, bytes]:
    stream, what = ByteReader(io.BytesIO(fields)), "a header field"
    values: dict[int, bytes] = {}
    while not stream.at_end():
        tag = stream.read_u8(what)
        if tag <= max(values, default=-1):
            raise ValueError(f"field {tag} is repeated or out of order")
        values[tag] = stream.read(stream.read_varint(what), what)
    known = set(_Tag)
    for tag in values:
        if tag not in known and tag < FIRST_SKIPPABLE_TAG:
            raise UnsupportedVersionError(
                f"the file's header has field {tag}, expected 1 to {max(known)}: "
                "it needs a newer lmcompress"
            )
    return values


def _header_from(values: dict[int, bytes]) -> FrameHeader:
    for mandatory in _MANDATORY:
        if mandatory not in values:
            raise ValueError(f"found no field {mandatory.name.lower()}, expected one")
    window, overlap = _unpack_varints(values.get(_Tag.CONTEXT_POLICY, b"\0\0"), 2)
    prompt = values.get(_Tag.PROMPT, b"")
    if _Tag.PROMPT in values and len(prompt) <= PROMPT_SHA256_BYTES:
        raise ValueError(f"field prompt has {len(prompt)} bytes, expected 32 and a name")
    return FrameHeader(
        model=values[_Tag.MODEL].decode(),
        fingerprint=values[_Tag.FINGERPRINT],
        arithmetic_version=_unpack_varints(values[_Tag.ARITHMETIC_VERSION], 1)[0],
        tokenizer=values.get(_Tag.TOKENIZER, b"bytes").decode(),
        precision_bits=_unpack_varints(values.get(_Tag.PRECISION_BITS, b"\x18"), 1)[0],
        window=window,
        overlap=overlap,
        prompt_sha256=prompt[:PROMPT_SHA256_BYTES],
        prompt_name=prompt[PROMPT_SHA256_BYTES:].decode(),
    )


def _unpack_varints(value: bytes, count: int) -> list[int]:
    stream = ByteReader(io.BytesIO(value))
    numbers = [stream.read_varint("a header field") for _ in range(count)]
    if not stream.at_end():
        raise ValueError(f"a field has {len(value)} bytes, expected {stream.position}")
    return numbers


def _check_name(what: str, name: str) -> None:
    size = len(name.encode())  # a lone surrogate raises UnicodeEncodeError, a ValueError
    if not 1 <= size <= MAX_NAME_BYTES:
        raise ValueError(f"{what} has {size} bytes, expected 1 to {MAX_NAME_BYTES}")
    if any(c < " " or "\x7f" <= c <= "\x9f" for c in name):
        raise ValueError(f"{what} {name!r} has control characters, expected none")


def with_crc32(packed: bytes, start: int = 0) -> bytes:
    """Returns `packed` and its CRC-32, which goes on from `start`."""
    return packed + zlib.crc32(packed, start).to_bytes(4, "little")
