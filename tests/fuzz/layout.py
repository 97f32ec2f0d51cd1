"""Frames taken apart and put together again, written from docs/format.md alone.

It shares no code with lmcompress, so it can judge what lmcompress accepts. `frames` is strict: what
it returns is whole and agrees with every checksum. The classes are not: they hold any values, and
`pack` gives them right checksums.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Iterator

FULL, COMPACT = b"\x89LMC", b"\x89LMc"
STORED, CODED, MIXED, ADAPTIVE = 1, 2, 3, 4
MOST = 1 << 30


class Damaged(Exception):
    """The bytes are not whole frames with right checksums."""


@dataclasses.dataclass
class Segment:
    """A segment of either kind of frame."""

    method: int
    raw_bytes: int
    lanes: int | None
    """None where it is left out."""
    payload_bytes: int | None
    checksum: bytes
    """The first bytes of the BLAKE2b-64 of the raw bytes; none in a stored compact frame."""
    payload: bytes

    @property
    def sizes(self) -> bytes:
        """The three sizes, as far as they are there."""
        return b"".join(
            varint(n) for n in (self.raw_bytes, self.lanes, self.payload_bytes) if n is not None
        )

    def holds(self, raw: bytes) -> bool:
        """Whether `raw` has the size and the checksum that the frame says."""
        if not self.checksum:
            return raw == self.payload
        return len(raw) == self.raw_bytes and checksum(raw).startswith(self.checksum)


@dataclasses.dataclass
class FullFrame:
    """A full frame; `fields` are (tag, value)."""

    version: int
    fields: list[tuple[int, bytes]]
    segments: list[Segment]
    totals: tuple[int, int]
    """Raw bytes and segments, as the end marker says."""

    def true_totals(self) -> tuple[int, int]:
        """What the end marker should say."""
        return sum(segment.raw_bytes for segment in self.segments), len(self.segments)

    def pack(self) -> bytes:
        """Returns the frame's bytes."""
        fields = b"".join(bytes([tag]) + varint(len(v)) + v for tag, v in self.fields)
        packed = with_crc(FULL + bytes([self.version]) + varint(len(fields)) + fields)
        chain = number(packed[-4:])
        for segment in self.segments:
            crc32 = zlib.crc32(segment.payload).to_bytes(4, "little")
            head = bytes([segment.method]) + segment.sizes + crc32 + segment.checksum
            head = with_crc(head, chain)
            chain = number(head[-4:])
            packed += head + segment.payload
        return packed + with_crc(b"\0" + varint(self.totals[0]) + varint(self.totals[1]), chain)


@dataclasses.dataclass
class CompactFrame:
    """A compact frame."""

    flags: int
    hashes: bytes
    """The beginnings of the model's fingerprint and of the prompt's hash."""
    segment: Segment

    @property
    def segments(self) -> list[Segment]:
        """The segment, unless the input was empty."""
        return [self.segment] if self.segment.raw_bytes else []

    def pack(self) -> bytes:
        """Returns the frame's bytes."""
        segment = self.segment
        head = COMPACT + bytes([self.flags]) + self.hashes + segment.sizes + segment.checksum
        return with_crc(head + segment.payload)


Frame = FullFrame | CompactFrame


def frames(data: bytes) -> Iterator[Frame]:
    """Yields the frames of a file, at least one; raises Damaged where it ends to be one."""
    source = _Source(data)
    while True:
        kind = source.take(4)
        if kind == COMPACT:
            yield _compact(source)
        elif kind == FULL:
            yield _full(source)
        else:
            raise Damaged("no frame begins here")
        if source.at == len(data):
            return


def varint(value: int) -> bytes:
    """Returns a LEB128 integer of any size."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def with_crc(packed: bytes, chain: int = 0) -> bytes:
    """Returns bytes followed by their CRC-32."""
    return packed + zlib.crc32(packed, chain).to_bytes(4, "little")


def checksum(raw: bytes) -> bytes:
    """Returns the BLAKE2b-64 of raw bytes."""
    return hashlib.blake2b(raw, digest_size=8).digest()


def number(packed: bytes) -> int:
    """Returns a little-endian integer."""
    return int.from_bytes(packed, "little")


class _Source:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise Damaged("the file ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def take_varint(self) -> int:
        start, value = self.at, 0
        while (byte := self.take(1)[0]) & 0x80:
            value |= (byte & 0x7F) << 7 * (self.at - start - 1)
        value |= byte << 7 * (self.at - start - 1)
        if value >= 1 << 63 or self.data[start : self.at] != varint(value):
            raise Damaged("a varint is too long")
        return value

    def check_crc(self, start: int, chain: int = 0) -> int:
        found = zlib.crc32(self.data[start : self.at], chain)
        if number(self.take(4)) != found:
            raise Damaged("a CRC-32 is wrong")
        return found


def _compact(source: _Source) -> CompactFrame:
    start = source.at - 4
    flags = source.take(1)[0]
    method, lanes, payload_bytes = flags & 3, None, None
    is_stored = method == STORED
    if not flags & 0x80 or not method or (flags != 0x81 if is_stored else not flags & 0x70):
        raise Damaged("the flags are none of a frame")
    hashes = b"" if is_stored else source.take(8 if flags & 4 else 4)
    raw_bytes = source.take_varint()
    if not is_stored:
        lanes = source.take_varint() if flags & 8 else None
        payload_bytes = source.take_varint()
    seen = b"" if is_stored else source.take(4)
    payload = source.take(raw_bytes if payload_bytes is None else payload_bytes)
    source.check_crc(start)
    found = Segment(method, raw_bytes, lanes, payload_bytes, seen, payload)
    _check_sizes(found, 2 if lanes is not None else 1, 0 if is_stored else 1)
    return CompactFrame(flags, hashes, found)


def _full(source: _Source) -> FullFrame:
    start = source.at - 4
    version, size = source.take(1)[0], source.take_varint()
    if version != 1 or size > 1 << 16:
        raise Damaged("the version or the length of the fields is unknown")
    inner = _Source(source.take(size))
    chain = source.check_crc(start)
    fields: list[tuple[int, bytes]] = []
    while inner.at < size:
        tag = inner.take(1)[0]
        if tag <= max((known for known, _ in fields), default=-1):
            raise Damaged("the fields are out of order")
        fields.append((tag, inner.take(inner.take_varint())))
    frame = FullFrame(version, fields, [], (0, 0))
    while True:
        start = source.at
        method = source.take(1)[0]
        if method == 0:
            frame.totals = source.take_varint(), source.take_varint()
            source.check_crc(start, chain)
            if frame.totals != frame.true_totals():
                raise Damaged("the totals are wrong")
            return frame
        segment, chain = _segment(source, method, chain)
        frame.segments.append(segment)


def _segment(source: _Source, method: int, chain: int) -> tuple[Segment, int]:
    start, raw_bytes = source.at - 1, source.take_varint()
    lanes = payload_bytes = None
    if method not in (STORED, CODED, MIXED, ADAPTIVE):
        raise Damaged("the method is unknown")
    if method != STORED:
        lanes, payload_bytes = source.take_varint(), source.take_varint()
    crc32, seen = number(source.take(4)), source.take(8)
    chain = source.check_crc(start, chain)
    payload = source.take(raw_bytes if payload_bytes is None else payload_bytes)
    if zlib.crc32(payload) != crc32:
        raise Damaged("a payload's CRC-32 is wrong")
    found = Segment(method, raw_bytes, lanes, payload_bytes, seen, payload)
    _check_sizes(found, 1, 1)
    return found, chain


def _check_sizes(segment: Segment, least_lanes: int, least_bytes: int) -> None:
    lanes = segment.lanes if segment.lanes is not None else least_lanes
    if not least_bytes <= segment.raw_bytes <= MOST or len(segment.payload) > MOST:
        raise Damaged("a size is out of range")
    if segment.method != STORED and not least_lanes <= lanes <= segment.raw_bytes:
        raise Damaged("the number of lanes is out of range")
