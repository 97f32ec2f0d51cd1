"""What can still be found of a damaged file: segments whose headers are whole, and the gaps.

The headers of a frame form a chain, by their checksums. Up to the first damaged header, every
segment is where it should be. Behind that, headers are trusted only if they go on without a break
to the end of the file: a stored segment may hold an .lmc file, whose headers look as good.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from lmcompress.errors import CorruptFrameError, LmcompressError
from lmcompress.format.compact import COMPACT_MAGIC
from lmcompress.format.file import next_reader
from lmcompress.format.frame import Method
from lmcompress.format.full import read_header
from lmcompress.format.header import MAGIC, FrameHeader, FrameTotals, FullSegment
from lmcompress.format.index import Place, Trail, places
from lmcompress.format.wire import ByteReader

_WINDOW = 1 << 20
_BEGINNING = re.compile(
    b"|".join(re.escape(start) for start in (*(bytes([m]) for m in Method), MAGIC, COMPACT_MAGIC))
)
"""A segment's header begins with its method, a frame with its magic."""
_MOST_READ = 8
"""Times the file's size that the search for a frame may read: a compact one is read as a whole."""


@dataclasses.dataclass(frozen=True)
class Gap:
    """Raw bytes that are lost."""

    raw_start: int
    raw_end: int | None
    """None if nothing says how many they are."""
    reason: str


def survey(source: BinaryIO) -> list[Place | Gap]:
    """Returns the segments whose headers are whole, in order, and the gap between them.

    Payloads are not read, so they may be damaged. The source must be able to seek.
    """
    found: list[Place] = []
    trail = Trail()
    try:
        for place in places(source, trail=trail):
            found.append(place)
    except LmcompressError as exc:
        return [*found, *_Damage(source, found, trail, str(exc)).rest()]
    return list(found)


class _Damage:
    """A header that is damaged, behind segments that are not."""

    def __init__(self, source: BinaryIO, before: list[Place], trail: Trail, reason: str) -> None:
        self._source, self._before, self._reason = source, before, reason
        self._raw_start = before[-1].raw_end if before else 0
        self._header: FrameHeader | None = None
        """Of the frame that a segment found now would be in: if that frame's own is damaged, the
        one of the frame before it, for files grow by frames of one kind."""
        self._in_frame: list[Place] = []
        """Segments of that frame, before the damage."""
        if before and isinstance(before[-1].header, FrameHeader):
            self._header = before[-1].header
        self._fewest_lost = 0
        """Segments that the damage took at least: its own, unless it is in a frame's header."""
        if trail.is_in_frame:
            self._in_frame = [place for place in before if place.header is self._header]
            self._fewest_lost = 1
        self._dead: set[int] = set()
        """Where headers begin from which a walk came to another damage: so would the next one."""

    def rest(self) -> list[Place | Gap]:
        """Returns the gap, and what follows it."""
        may_read = _MOST_READ * max(_WINDOW, self._source.seek(0, io.SEEK_END))
        for offset, is_frame in self._beginnings():
            if offset in self._dead:
                continue
            if may_read < 0:
                break
            self._source.seek(offset)
            trail = Trail()
            try:
                after = self._frames(trail) if is_frame else self._segments(offset, trail)
            except LmcompressError:
                self._dead |= trail.offsets
                may_read -= self._source.tell() - offset if is_frame else 0
                continue
            if after is not None:
                return after
        return [Gap(self._raw_start, None, self._reason)]

    def _beginnings(self) -> Iterator[tuple[int, bool]]:
        """Yields where a segment or a frame may begin, and whether it is a frame."""
        last = self._before[-1] if self._before else None
        offset = last.offset + last.segment.payload_bytes if last else 0
        while True:
            self._source.seek(offset)
            window = self._source.read(_WINDOW)
            for match in _BEGINNING.finditer(window):
                yield offset + match.start(), len(match[0]) > 1
            if len(window) < _WINDOW:
                return
            offset += _WINDOW - len(MAGIC) + 1

    def _frames(self, trail: Trail) -> list[Place | Gap] | None:
        """Returns what follows if frames begin here and go on to the file's end."""
        offset = self._source.tell()
        header = next_reader(ByteReader(self._source)).header
        if isinstance(header, FrameHeader):
            self._header, self._in_frame, self._fewest_lost = header, [], 1
        self._source.seek(offset)
        after = places(self._source, self._raw_start, trail)
        return [Gap(self._raw_start, None, self._reason), *after]

    def _segments(self, offset: int, trail: Trail) -> list[Place | Gap] | None:
        """Returns what follows if segments begin here and go on to the file's end."""
        if self._header is None:
            return None
        stream, chain = ByteReader(self._source), None
        found: list[tuple[FullSegment, int]] = []
        while True:
            begin = offset + stream.position
            if begin in self._dead:
                raise CorruptFrameError("these headers lead to the next damage")
            header = read_header(stream, chain, self._header.precision_bits, "a segment")
            if isinstance(header, FrameTotals):
                break
            if found:  # nothing vouches for the first
                trail.offsets.add(begin)
            segment, chain = header
            found.append((segment, offset + stream.position))
            stream.skip(segment.payload_bytes, "a payload")
        in_frame = self._in_frame
        # The frame's totals say where it ends, and so where what was found begins.
        frame_start = in_frame[0].raw_start if in_frame else self._raw_start
        raw_end = frame_start + header.raw_bytes - sum(segment.raw_bytes for segment, _ in found)
        lost = header.num_segments - len(in_frame) - len(found)
        lost_bytes = raw_end - self._raw_start
        if lost < self._fewest_lost or lost_bytes < lost or (lost_bytes and not lost):
            return None  # these are segments of another frame
        after: list[Place | Gap] = [Gap(self._raw_start, raw_end, self._reason)]
        for segment, start in found:
            after.append(Place(self._header, segment, raw_end, start))
            raw_end += segment.raw_bytes
        self._source.seek(offset + stream.position)
        if self._source.read(1):
            self._source.seek(-1, io.SEEK_CUR)
            after += places(self._source, raw_end, trail)
        return after
