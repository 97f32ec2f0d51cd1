"""What `open` gives to read from: raw bytes, decompressed segment by segment as they are needed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.decoder import Encoded, SegmentDecoder
from lmcompress.codec.stream import decompressed_segments
from lmcompress.format.index import SegmentIndex, payload_at
from lmcompress.format.wire import can_seek
from lmcompress.models.store import AnyModel

_Found = tuple[int, bytes]
"""Where a segment begins among the raw bytes, and its raw bytes."""


class _Segments(Protocol):
    def at(self, position: int) -> _Found | None:
        """Returns the segment that holds a raw byte; None beyond the end."""


class DecompressedFile(io.RawIOBase):
    """Reads an .lmc file; keeps one segment in memory.

    A seek within that segment costs nothing; one to another segment, the decoding of that.
    """

    def __init__(
        self,
        source: BinaryIO,
        config: CodecConfig,
        model: AnyModel | None = None,
        progress: Progress | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Begins at the source's present position; calls `close` when it is closed."""
        self._close_source = close
        self._index = SegmentIndex(source) if can_seek(source) else None
        decoder = SegmentDecoder(config, model)
        self._segments: _Segments = (
            _AnyOrder(source, self._index, decoder, progress)
            if self._index
            else _InOrder(decompressed_segments(source, decoder, progress))
        )
        self._position = self._start = 0
        self._segment = b""

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether the file below can seek, and so this one."""
        return self._index is not None

    def tell(self) -> int:
        """Returns the position among the raw bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a raw byte, also beyond the end; returns its position."""
        if self._index is None:
            raise io.UnsupportedOperation("the compressed file cannot seek")
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise ValueError(f"whence is {whence!r}, expected 0, 1 or 2")
        base = 0 if whence == io.SEEK_SET else self._position
        if whence == io.SEEK_END:
            base = self._index.raw_bytes()
        if base + offset < 0:
            raise ValueError(f"position is {base + offset}, expected 0 or more")
        self._position = base + offset
        return self._position

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fills a buffer from the present segment, or the next; returns the bytes, 0 at the end."""
        if not self._start <= self._position < self._start + len(self._segment):
            self._segment = b""  # it is large: do not keep it while another one is decoded
            found = self._segments.at(self._position)
            if found is None:
                return 0
            self._start, self._segment = found
        begin = self._position - self._start
        part = memoryview(self._segment)[begin : begin + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        """Closes it, and the file below if that was opened with it."""
        if not self.closed:
            self._segment = b""
            self._close_source()
            super().close()


class _AnyOrder:
    def __init__(
        self,
        source: BinaryIO,
        index: SegmentIndex,
        decoder: SegmentDecoder,
        progress: Progress | None,
    ) -> None:
        self._source, self._index, self._decoder = source, index, decoder
        self._progress = progress

    def at(self, position: int) -> _Found | None:
        place = self._index.at(position)
        if place is None:
            return None
        payload = payload_at(self._source, place)
        encoded = Encoded(place.header, place.segment, payload, place.raw_start)
        return place.raw_start, self._decoder.decode(encoded, self._progress)


class _InOrder:
    def __init__(self, segments: Iterator[bytes]) -> None:
        self._segments = segments
        self._error: BaseException | None = None

    def at(self, position: int) -> _Found | None:
        """Returns the next segment, which is where reading in order has come to."""
        if self._error is not None:  # a generator that raised would look like one that ended
            raise self._error
        try:
            segment = next(self._segments, None)
        except BaseException as exc:
            self._error = exc
            raise
        return None if segment is None else (position, segment)
