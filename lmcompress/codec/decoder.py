"""Decodes segments, in whatever order they are asked for; several threads may at once."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import threading
from typing import BinaryIO

from lmcompress.codec.config import MAX_LANES, CodecConfig, Progress
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.memory import check_memory, memory_needed
from lmcompress.codec.requirements import session_for, session_without_gpt
from lmcompress.codec.segments import decode_segment
from lmcompress.codec.session import Session, resolve_threads
from lmcompress.errors import CorruptFrameError, LimitExceededError, LmcompressError
from lmcompress.format.frame import Header, Method, Segment, check_raw
from lmcompress.format.index import Place, places
from lmcompress.format.wire import ByteReader, can_seek
from lmcompress.models.store import AnyModel
from lmcompress.range_coder import long_payload


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A segment of a file."""

    header: Header
    """That of its frame."""
    segment: Segment
    payload: bytes
    raw_start: int
    """Raw bytes of the file before it, which count towards the output limit."""


@dataclasses.dataclass
class _Largest:
    """The largest of some segments, whichever it is: a file may have too many to keep them all."""

    header: Header | None = None
    """Of all of them."""
    count: int = 0
    lanes: int = 0
    raw_bytes: int = 0
    payload_bytes: int = 0

    def includes(self, place: Place) -> bool:
        """Counts a segment; returns False, and counts none, if it has another header."""
        segment = place.segment
        if segment.method is Method.STORED:
            return True
        if self.header is not None and place.header != self.header:
            self.count = 0
            return False
        self.header, self.count = place.header, self.count + 1
        self.lanes = max(self.lanes, segment.lanes)
        self.raw_bytes = max(self.raw_bytes, segment.raw_bytes)
        self.payload_bytes = max(self.payload_bytes, segment.payload_bytes)
        return True


class SegmentDecoder:
    """Turns payloads into raw bytes, several threads at once; the last frame's model stays."""

    def __init__(self, config: CodecConfig, model: AnyModel | None = None) -> None:
        """Uses `model` instead of those that the headers name, if given."""
        self._config, self._model = config, model
        self._sessions: dict[bool, tuple[Header, Session]] = {}
        """The last one with a GPT, and the last one without, each with its frame's header."""
        self._lock = threading.Lock()

    @property
    def threads(self) -> int:
        """Threads for all segments that are decoded at once."""
        return resolve_threads(self._config.threads)

    def on_threads(self, threads: int) -> SegmentDecoder:
        """Returns one whose segments take so many threads each."""
        return SegmentDecoder(dataclasses.replace(self._config, threads=threads), self._model)

    def most_at_once(self, source: BinaryIO) -> int:
        """Returns how many segments to decode at once, for their number, threads and memory.

        Reads all headers, and goes back to where `source` was; one at a time if it cannot seek,
        since reading ahead would wait for what may not have come yet.
        """
        if self.threads == 1 or not can_seek(source):
            return 1
        start, largest = source.tell(), _Largest()
        with contextlib.suppress(LmcompressError):  # what is wrong comes up where it is decoded
            for place in places(source):
                if not largest.includes(place):
                    break
        source.seek(start)
        return self._fitting(largest)

    def _fitting(self, largest: _Largest) -> int:
        """Returns how many segments of that size fit into memory at once."""
        if largest.header is None or largest.count < 2:
            return 1
        try:
            session = self._session_for(largest.header, Method.MIXED).for_segment(largest.raw_bytes)
        except LmcompressError:
            return 1
        needed = memory_needed(session, largest.lanes, largest.raw_bytes, largest.payload_bytes)
        return max(1, min(self.threads, largest.count, self._config.memory_limit // needed))

    def decode(self, encoded: Encoded, progress: Progress | None = None) -> bytes:
        """Returns the raw bytes of a segment, checked.

        Raises:
          CorruptFrameError: If the payload does not decode to what was compressed.
          LimitExceededError: If that takes more memory, or gives more bytes, than allowed.
          LmcompressError: What `session_for` raises, if model or prompt are missing.
        """
        segment, raw = encoded.segment, encoded.payload
        limit, raw_end = self._config.output_limit, encoded.raw_start + segment.raw_bytes
        if limit is not None and raw_end > limit:
            raise LimitExceededError(
                f"the file decompresses to {raw_end:,} bytes or more, the limit is {limit:,}: "
                "allow more with output_limit (--output-limit)"
            )
        if segment.method is not Method.STORED:
            raw = _decode_coded(
                self._session_for(encoded.header, segment.method), segment, raw, progress
            )
        check_raw(segment, raw)
        return raw

    def _session_for(self, header: Header, method: Method) -> Session:
        has_gpt = method is not Method.ADAPTIVE
        with self._lock:
            known = self._sessions.get(has_gpt)
            if known is None or header != known[0]:
                if has_gpt:
                    session = session_for(header, self._config, self._model)
                else:
                    session = session_without_gpt(header, self._config)
                known = self._sessions[has_gpt] = header, session
            return known[1]


def _decode_coded(
    session: Session, segment: Segment, payload: bytes, progress: Progress | None
) -> bytes:
    if segment.lanes > MAX_LANES:
        raise CorruptFrameError(
            f"a segment has {segment.lanes} lanes, expected {MAX_LANES} at most"
        )
    session = session.for_segment(segment.raw_bytes)
    check_memory(session, segment.lanes, segment.raw_bytes, len(payload))
    lengths, coded = _lane_lengths(segment, payload, session)
    if segment.is_short:
        coded = long_payload(coded)
    with session.open_decoder(segment.lanes) as opened:
        return decode_segment(coded, lengths, opened, segment.method, progress)


def _lane_lengths(segment: Segment, payload: bytes, session: Session) -> tuple[list[int], bytes]:
    """Returns the bytes of each lane, and the coder's bytes."""
    if session.model.tokens is None:
        return LaneLayout(segment.raw_bytes, segment.lanes).lengths, payload
    stream = ByteReader(io.BytesIO(payload))
    lengths = [stream.read_varint("the length of a lane") for _ in range(segment.lanes - 1)]
    lengths.append(segment.raw_bytes - sum(lengths))
    if min(lengths) < 1:
        raise CorruptFrameError(
            f"the lanes of a segment have {sum(lengths[:-1])} bytes and more, "
            f"the segment has {segment.raw_bytes}: the file is damaged"
        )
    return lengths, payload[stream.position :]
