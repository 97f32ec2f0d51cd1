"""Compression and decompression: bytes -> segments -> lanes -> range coder -> frame, and back.

A segment's symbols are cut into lanes, contiguous runs of nearly equal length that the model steps
through together. Symbols, which are bytes or tokens, are coded step-major (step 0 of every lane,
step 1 of every lane, ...), tokens byte by byte, by one range coder a segment. The encoder asks for
the frequencies of many steps at once; the decoder, which must know a symbol before the next, asks
for one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from typing import BinaryIO

from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.decoder import Encoded, SegmentDecoder
from lmcompress.codec.encoder import Coded, SegmentEncoder
from lmcompress.codec.parallel import in_order
from lmcompress.codec.requirements import new_writer
from lmcompress.codec.session import Session
from lmcompress.format.file import read_frames
from lmcompress.format.frame import Writer, raw_checksum
from lmcompress.format.wire import read_some, write_all
from lmcompress.models.store import AnyModel, Model


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of a finished compression, in bytes."""

    raw_bytes: int
    payload_bytes: int
    compressed_bytes: int


@dataclasses.dataclass(frozen=True)
class Finished:
    """Segments of a frame that were written before."""

    writer: Writer
    raw_bytes: int = 0
    payload_bytes: int = 0


def compress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    model: Model,
    config: CodecConfig,
    progress: Progress | None = None,
) -> Sizes:
    """Compresses all of `source` into one frame on `sink`.

    Compresses several segments in parallel: one per thread, as far as the memory limit allows.
    """
    compressor = FrameCompressor(sink, model, config)
    pieces = iter(lambda: read_fully(source, compressor.piece_bytes), b"")
    compressor.write_segments(pieces, progress)
    return compressor.finish()


class FrameCompressor:
    """Compresses into a frame what comes as whole segments, or in pieces of any length.

    After a failed `write` or `finish` it refuses all others: who tries again would write those
    bytes twice, in a file that passes its checks. The frame stays cut short, which its reader sees.
    """

    def __init__(
        self,
        sink: BinaryIO,
        model: Model,
        config: CodecConfig,
        finished: Finished | None = None,
    ) -> None:
        """Writes a full frame's header at once, unless segments of it are finished already.

        Raises ValueError if nothing would predict.
        """
        self.config = config
        self._encoder = SegmentEncoder(Session(model, config))
        begun = finished or Finished(new_writer(sink, self._encoder.session))
        self._writer = begun.writer
        self._raw_bytes, self._payload_bytes = begun.raw_bytes, begun.payload_bytes
        self._begun = bytearray()
        """Bytes of a segment that is not full yet."""
        self._error: BaseException | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it takes nothing more."""
        return self._error is not None

    @property
    def piece_bytes(self) -> int:
        """Bytes to hand over at a time, fewer only at the end.

        One more than a segment if the frame holds only one, so that input which does not fit is
        refused before it is compressed.
        """
        return self.config.segment_bytes + (1 if self.config.compact else 0)

    def write(self, data: bytes, progress: Progress | None = None) -> None:
        """Takes a piece of any length, and compresses each segment that is full.

        Raises:
          LmcompressError: If the pieces are more than a compact frame holds.
        """
        with self._unless_failed():
            self._begun += data
            while len(self._begun) >= (size := self.piece_bytes):
                self.write_segment(bytes(self._begun[:size]), progress)
                del self._begun[:size]

    def write_segment(self, raw: bytes, progress: Progress | None = None) -> None:
        """Compresses 1 to `piece_bytes` bytes as one segment.

        Raises:
          LmcompressError: If they are more than a compact frame holds.
        """
        self._write(raw, self._encoder.encode(raw, progress))

    def write_segments(self, pieces: Iterator[bytes], progress: Progress | None = None) -> None:
        """Compresses pieces of `piece_bytes` bytes, the last of fewer, several side by side."""
        first = list(itertools.islice(pieces, self._encoder.most_at_once))
        pieces = itertools.chain(first, pieces)
        if len(first) < 2:
            for raw in pieces:
                self.write_segment(raw, progress)
            return
        encoder = self._encoder.on_threads(self._encoder.session.threads // len(first))

        def encode(raw: bytes, report: Progress) -> tuple[bytes, Coded | None]:
            return raw, encoder.encode(raw, report)

        for raw, coded in in_order(encode, pieces, len(first), progress):
            self._write(raw, coded)

    def _write(self, raw: bytes, coded: Coded | None) -> None:
        written = write_smaller(self._writer, raw, coded)
        self._payload_bytes += len(raw if written is None else written.payload)
        self._raw_bytes += len(raw)

    def finish(self, progress: Progress | None = None) -> Sizes:
        """Compresses what was begun, and ends the frame."""
        with self._unless_failed():
            if self._begun:
                self.write_segment(bytes(self._begun), progress)
            self._writer.finish()
        return Sizes(self._raw_bytes, self._payload_bytes, self._writer.bytes_written)

    @contextlib.contextmanager
    def _unless_failed(self) -> Iterator[None]:
        if self._error is not None:
            raise self._error
        try:
            yield
        except BaseException as exc:
            self._error = exc
            raise


def write_smaller(writer: Writer, raw: bytes, coded: Coded | None) -> Coded | None:
    """Writes a segment as it was coded; stores it, and returns None, where that is no larger."""
    if coded is not None:
        size = len(coded.payload)
        if size + writer.coding_overhead(coded.lanes, size) < len(raw):
            checksum = raw_checksum(raw)
            writer.write_coded(len(raw), coded.lanes, coded.payload, checksum, coded.method)
            return coded
    writer.write_stored(raw)
    return None


def decompress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    config: CodecConfig | None = None,
    model: AnyModel | None = None,
    progress: Progress | None = None,
) -> int:
    """Decompresses every frame of `source` into `sink`; returns the number of raw bytes.

    A segment is written only after its checksum was found right.

    Raises:
      CorruptFrameError: If anything is damaged; segments before the damage are on `sink`.
      ModelNotFoundError: If the model that made the file is not installed.
      PromptNotFoundError: If the file was compressed with a prompt, and config has not that one.
      LimitExceededError: If it takes more memory, or gives more bytes, than `config` allows.
    """
    raw_bytes, decoder = 0, SegmentDecoder(config or CodecConfig(), model)
    workers = decoder.most_at_once(source)
    if workers > 1:
        decoder = decoder.on_threads(decoder.threads // workers)
        segments = in_order(decoder.decode, encoded_segments(source), workers, progress)
    else:
        segments = decompressed_segments(source, decoder, progress)
    for raw in segments:
        write_all(sink, raw)
        raw_bytes += len(raw)
        del raw  # a segment is large: do not keep it while the next one is decoded
    return raw_bytes


def decompressed_segments(
    source: BinaryIO, decoder: SegmentDecoder, progress: Progress | None = None
) -> Iterator[bytes]:
    """Yields the raw bytes of each segment of each frame, checked, one after the other."""
    for encoded in encoded_segments(source):
        yield decoder.decode(encoded, progress)
        del encoded


def encoded_segments(source: BinaryIO) -> Iterator[Encoded]:
    """Yields each segment of each frame, as it stands in the file."""
    raw_start = 0
    for reader in read_frames(source):
        for segment, payload in reader:
            yield Encoded(reader.header, segment, payload, raw_start)
            raw_start += segment.raw_bytes
            del payload


def read_fully(source: BinaryIO, size: int) -> bytes:
    """Reads `size` bytes, fewer only at the end; pipes give less than asked."""
    parts = []
    while size and (part := read_some(source, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
