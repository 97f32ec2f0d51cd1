"""Where each segment of a file is: its headers are its index.

Segments decode on their own, so a byte in the middle of a file costs the segment around it. To
find that one takes the headers before it, which are some 30 bytes each: their payloads are skipped.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator
from typing import BinaryIO

from lmcompress.format.compact import CompactReader
from lmcompress.format.file import read_frames
from lmcompress.format.frame import Header, Segment
from lmcompress.format.full import read_payload
from lmcompress.format.header import FullSegment
from lmcompress.format.wire import ByteReader


@dataclasses.dataclass(frozen=True)
class Place:
    """A segment of a file."""

    header: Header
    """That of its frame; the same object for all segments of a frame."""
    segment: Segment
    raw_start: int
    """Raw bytes of the file that come before it."""
    offset: int
    """Of its payload in the file, or of its frame if that is compact."""

    @property
    def raw_end(self) -> int:
        """Raw bytes of the file up to its end."""
        return self.raw_start + self.segment.raw_bytes


@dataclasses.dataclass
class Trail:
    """How far a walk over the headers of a file has come."""

    offsets: set[int] = dataclasses.field(default_factory=set)
    """Where the frames and segments begin whose headers were whole."""
    is_in_frame: bool = False
    """Whether it is in a frame whose end marker it has not seen."""


class SegmentIndex:
    """The places of a file's segments, found as they are asked for.

    Errors in the headers, as `read_frames` raises them, come up where a segment behind the damage
    is asked for, each time.
    """

    def __init__(self, source: BinaryIO) -> None:
        """Begins at the source's present position; the source must be able to seek."""
        self._source = source
        self._places: list[Place] = []
        self._walk = places(source)
        self._next_offset = source.tell()
        self._error: BaseException | None = None
        self._is_complete = False

    def at(self, position: int) -> Place | None:
        """Returns the segment that holds a raw byte; None beyond the end."""
        while self._raw_bytes <= position:
            if not self._find_next():
                return None
        return self._places[bisect.bisect_right(self._places, position, key=_raw_start) - 1]

    def raw_bytes(self) -> int:
        """Returns the raw bytes of the whole file."""
        while self._find_next():
            pass
        return self._raw_bytes

    @property
    def _raw_bytes(self) -> int:
        return self._places[-1].raw_end if self._places else 0

    def _find_next(self) -> bool:
        if self._error is not None:  # a generator that raised looks like one that ended
            raise self._error
        if self._is_complete:
            return False
        self._source.seek(self._next_offset)
        try:
            place = next(self._walk, None)
        except BaseException as exc:
            self._error = exc
            raise
        self._next_offset = self._source.tell()
        self._is_complete = place is None
        if place is not None:
            self._places.append(place)
        return place is not None


def payload_at(source: BinaryIO, place: Place) -> bytes:
    """Returns a segment's payload; raises CorruptFrameError if it is damaged."""
    source.seek(place.offset)
    stream = ByteReader(source)
    if isinstance(place.segment, FullSegment):
        return read_payload(stream, place.segment, f"the payload from byte {place.offset} on")
    return next(CompactReader(stream))[1]


def _raw_start(place: Place) -> int:
    return place.raw_start


def places(source: BinaryIO, raw_start: int = 0, trail: Trail | None = None) -> Iterator[Place]:
    """Yields the segments that follow; the source must be where a frame begins.

    It may be moved while the generator waits, if it is back before that goes on.

    Args:
      source: Can seek; payloads are skipped.
      raw_start: Raw bytes of the file before it.
      trail: Is kept up to date.
    """
    start, stream, trail = source.tell(), ByteReader(source), trail or Trail()
    frame_start = start
    for reader in read_frames(stream, skip_payloads=True):
        trail.offsets.add(frame_start)
        trail.is_in_frame, header_start = True, start + stream.position
        for segment, _ in reader:
            trail.offsets.add(header_start)
            header_start = start + stream.position
            is_compact = reader.header.kind == "compact"
            offset = frame_start if is_compact else header_start - segment.payload_bytes
            place = Place(reader.header, segment, raw_start, offset)
            raw_start = place.raw_end
            yield place
        trail.is_in_frame, frame_start = False, start + stream.position
