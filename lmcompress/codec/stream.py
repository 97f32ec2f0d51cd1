"""Compression and decompression: bytes -> segments -> lanes -> range coder -> frame, and back.

A segment's symbols are cut into lanes, contiguous runs of nearly equal length that the model steps
through together. Symbols, which are bytes or tokens, are coded step-major (step 0 of every lane,
step 1 of every lane, ...), tokens byte by byte, by one range coder a segment. The encoder asks for
the frequencies of many steps at once; the decoder, which must know a symbol before the next, asks
for one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import BinaryIO

from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.decoder import SegmentDecoder
from lmcompress.codec.memory import check_memory
from lmcompress.codec.requirements import new_writer
from lmcompress.codec.segments import encode_segment
from lmcompress.codec.session import Session
from lmcompress.errors import LmcompressError
from lmcompress.format.file import read_frames
from lmcompress.format.frame import Method, Writer, raw_checksum
from lmcompress.format.wire import encode_varint, read_some, write_all
from lmcompress.models.store import NO_MODEL, AnyModel, Model
from lmcompress.tokenizer.bpe import broken_bytes

MAX_BROKEN = 1 / 8
"""A segment is not text, and a model of tokens does not try it, if a larger share is not UTF-8."""


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


@dataclasses.dataclass(frozen=True)
class _Coded:
    """A coded segment."""

    method: Method
    lanes: int
    payload: bytes


def compress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    model: Model,
    config: CodecConfig,
    progress: Progress | None = None,
) -> Sizes:
    """Compresses all of `source` into one frame on `sink`; memory is that of one segment."""
    compressor = FrameCompressor(sink, model, config)
    while raw := read_fully(source, compressor.piece_bytes):
        compressor.write_segment(raw, progress)
    return compressor.finish()


class FrameCompressor:
    """Compresses segments one by one into a frame."""

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
        if model.weights is None and not config.adaptive:
            raise ValueError(f"model {NO_MODEL} without the adaptive stage: nothing would predict")
        self.config = config
        self._session = Session(model, config)
        begun = finished or Finished(new_writer(sink, self._session))
        self._writer = begun.writer
        self._raw_bytes, self._payload_bytes = begun.raw_bytes, begun.payload_bytes

    @property
    def piece_bytes(self) -> int:
        """Bytes to hand over at a time, fewer only at the end.

        One more than a segment if the frame holds only one, so that input which does not fit is
        refused before it is compressed.
        """
        return self.config.segment_bytes + (1 if self.config.compact else 0)

    def write_segment(self, raw: bytes, progress: Progress | None = None) -> None:
        """Compresses 1 to `piece_bytes` bytes as one segment.

        Raises:
          LmcompressError: If they are more than a compact frame holds.
        """
        if len(raw) > self.config.segment_bytes:
            raise LmcompressError(
                f"found more than {self.config.segment_bytes} bytes, a compact frame is one "
                "segment: leave out compact, or raise segment_bytes (--segment-bytes)"
            )
        coded = self._encode(raw, progress)
        if coded is not None and self._is_smaller(coded, raw):
            checksum = raw_checksum(raw)
            self._writer.write_coded(len(raw), coded.lanes, coded.payload, checksum, coded.method)
            self._payload_bytes += len(coded.payload)
        else:
            self._writer.write_stored(raw)
            self._payload_bytes += len(raw)
        self._raw_bytes += len(raw)

    def finish(self) -> Sizes:
        """Ends the frame."""
        self._writer.finish()
        return Sizes(self._raw_bytes, self._payload_bytes, self._writer.bytes_written)

    def _is_smaller(self, coded: _Coded, raw: bytes) -> bool:
        size = len(coded.payload)
        return size + self._writer.coding_overhead(coded.lanes, size) < len(raw)

    def _encode(self, raw: bytes, progress: Progress | None) -> _Coded | None:
        """Returns the result of the method with the shortest payload; None for what is not text."""
        session = self._session
        if session.model.tokens and broken_bytes(raw) > MAX_BROKEN * len(raw):
            return None
        symbols = session.symbols_of(raw)
        lanes = session.lanes_for(len(symbols))
        check_memory(session, lanes, len(raw))
        lengths, methods = session.lane_bytes(symbols, lanes), session.methods
        with session.open_encoder(lanes) as opened:
            coders = encode_segment(symbols, lengths, opened, methods, progress)
        short = self.config.compact
        payloads = [coder.short_payload() if short else coder.payload() for coder in coders]
        method, payload = min(zip(methods, payloads, strict=True), key=lambda p: len(p[1]))
        return _Coded(method, lanes, self._written_lengths(lengths) + payload)

    def _written_lengths(self, lengths: list[int]) -> bytes:
        """Returns the lanes' lengths, where a decoder does not know them, as a payload begins."""
        is_known = self._session.model.tokens is None
        return b"" if is_known else b"".join(map(encode_varint, lengths[:-1]))


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
    raw_bytes = 0
    for raw in decompressed_segments(source, config or CodecConfig(), model, progress):
        write_all(sink, raw)
        raw_bytes += len(raw)
        del raw  # a segment is large: do not keep it while the next one is decoded
    return raw_bytes


def decompressed_segments(
    source: BinaryIO,
    config: CodecConfig,
    model: AnyModel | None = None,
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """Yields the raw bytes of each segment of each frame, checked."""
    decoder, raw_bytes = SegmentDecoder(config, model, progress), 0
    for reader in read_frames(source):
        for segment, payload in reader:
            raw = decoder.decode(reader.header, segment, payload, raw_bytes)
            raw_bytes += len(raw)
            yield raw
            del raw, payload


def read_fully(source: BinaryIO, size: int) -> bytes:
    """Reads `size` bytes, fewer only at the end; pipes give less than asked."""
    parts = []
    while size and (part := read_some(source, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
