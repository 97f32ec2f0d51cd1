"""An `.lmc` file: one or more frames, of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from lmcompress.format.compact import COMPACT_MAGIC, CompactReader
from lmcompress.format.frame import Reader
from lmcompress.format.full import FrameReader
from lmcompress.format.wire import ByteReader


def read_frames(source: BinaryIO | ByteReader, *, skip_payloads: bool = False) -> Iterator[Reader]:
    """Yields a reader for each frame; a file is one or more frames, and nothing else.

    Raises:
      ValueError: If a reader was not exhausted before the next is asked for.
      CorruptFrameError: Also if the bytes after a frame are not another frame.
    """
    stream = source if isinstance(source, ByteReader) else ByteReader(source)
    while stream.position == 0 or not stream.at_end():
        reader = next_reader(stream, skip_payloads=skip_payloads)
        yield reader
        if not reader.is_exhausted:
            raise ValueError("iterate over all segments of a frame before taking the next frame")


def next_reader(stream: ByteReader, *, skip_payloads: bool = False) -> Reader:
    """Returns a reader for the frame that begins here."""
    is_compact = stream.peek(len(COMPACT_MAGIC)) == COMPACT_MAGIC
    new_reader = CompactReader if is_compact else FrameReader
    return new_reader(stream, skip_payloads=skip_payloads)
