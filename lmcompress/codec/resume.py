"""Long compressions that go on where they were stopped.

What was finished is the beginning of a frame: its header and whole segments. It may be continued
only with the same input, model and options, so its name holds a key made of these.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.requirements import frame_header
from lmcompress.codec.session import Session
from lmcompress.codec.stream import Finished, FrameCompressor, Sizes, read_fully
from lmcompress.errors import CorruptFrameError, LmcompressError
from lmcompress.format.frame import raw_checksum
from lmcompress.format.full import FrameReader, FrameWriter
from lmcompress.format.header import FullSegment
from lmcompress.format.wire import PIECE_BYTES, ByteReader
from lmcompress.models.store import Model

KEY_DIGITS = 16


def resume_key(source: BinaryIO, model: Model, config: CodecConfig) -> str:
    """Returns `KEY_DIGITS` hex digits that change with anything that changes the compressed bytes.

    Reads all of `source`, which must be able to seek, and goes back to where it was.
    """
    session, start = Session(model, config), source.tell()
    device = session.for_segment(config.segment_bytes).device
    lanes = config.lanes if config.lanes != "auto" else f"auto, {device}"
    header = frame_header(model, session.policy, config.prompt).pack()
    digest = hashlib.sha256(header + repr((lanes, config.segment_bytes, config.adaptive)).encode())
    while piece := source.read(PIECE_BYTES):
        digest.update(piece)
    source.seek(start)
    return digest.hexdigest()[:KEY_DIGITS]


def resume_stream(
    source: BinaryIO,
    unfinished: BinaryIO,
    model: Model,
    config: CodecConfig,
    progress: Progress | None = None,
) -> Sizes:
    """Compresses `source` as `compress_stream` does, after what `unfinished` has of it already.

    Args:
      source: Can seek.
      unfinished: Open for reading and writing; empty, or what an earlier call with the same input,
        model and configuration has left. It is flushed after each segment.
      model: The model.
      config: Not of a compact frame, which is one segment.
      progress: Called with the bytes that were finished before, then as `compress_stream` does.

    Raises:
      LmcompressError: If `unfinished` is of another input.
    """
    if config.compact:
        raise ValueError("a compact frame is one segment: nothing of it could be resumed")
    finished = _finished(source, unfinished)
    if finished and progress:
        progress(finished.raw_bytes)
    compressor = FrameCompressor(unfinished, model, config, finished)

    def pieces() -> Iterator[bytes]:
        while raw := read_fully(source, compressor.piece_bytes):
            yield raw
            unfinished.flush()  # what was written while this piece was asked for

    compressor.write_segments(pieces(), progress)
    return compressor.finish()


def _finished(source: BinaryIO, unfinished: BinaryIO) -> Finished | None:
    """Returns what there is of a frame, and cuts off what is not a whole segment."""
    unfinished.seek(0)
    stream = ByteReader(unfinished)
    try:
        reader = FrameReader(stream)
    except CorruptFrameError:  # nothing yet, or stopped while the header was written
        unfinished.seek(0)
        unfinished.truncate()
        return None
    frame_bytes, payload_bytes = stream.position, 0
    with contextlib.suppress(CorruptFrameError):  # where it was stopped
        for segment, _ in reader:
            _require_same(source, segment)
            frame_bytes, payload_bytes = stream.position, payload_bytes + segment.payload_bytes
    unfinished.seek(frame_bytes)
    unfinished.truncate()
    writer = FrameWriter.continued(unfinished, reader, frame_bytes)
    return Finished(writer, reader.found.raw_bytes, payload_bytes)


def _require_same(source: BinaryIO, segment: FullSegment) -> None:
    raw = read_fully(source, segment.raw_bytes)
    if raw_checksum(raw) != segment.raw_checksum:
        raise LmcompressError(
            "what was finished before is of another input: remove it, and start again"
        )
