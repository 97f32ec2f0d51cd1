"""Compression and decompression: bytes -> segments -> lanes -> range coder -> frame, and back.

A segment's symbols are cut into lanes, contiguous runs of nearly equal length that the model steps
through together. Symbols are coded step-major (step 0 of every lane, step 1 of every lane, ...), by
one range coder a segment, so lanes cost no bits of their own. The encoder asks for the frequencies
of many steps at once; the decoder, which must know a symbol before the next, asks for one. Symbols
are bytes (`byte_segments`) or tokens (`token_segments`), as the model has them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import BinaryIO

from lmcompress.codec.byte_segments import decode_segment, encode_segment
from lmcompress.codec.config import MAX_LANES, CodecConfig, Progress
from lmcompress.codec.requirements import new_writer, session_for
from lmcompress.codec.session import Session
from lmcompress.codec.token_segments import decode_tokens, encode_tokens
from lmcompress.errors import CorruptFrameError, LmcompressError
from lmcompress.format.file import read_frames
from lmcompress.format.frame import Method, Reader, Segment, check_raw, raw_checksum
from lmcompress.format.header import PRECISION_BITS
from lmcompress.format.wire import read_some, write_all
from lmcompress.models.store import NO_MODEL, AnyModel, Model
from lmcompress.range_coder import long_payload
from lmcompress.tokenizer.bpe import tokenizer_of

MAX_ESCAPED = 1 / 8
"""A segment is not text, and is stored, if tokens leave more than this share of it to escapes."""


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of a finished compression, in bytes."""

    raw_bytes: int
    payload_bytes: int
    compressed_bytes: int


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
    while raw := _read_fully(source, compressor.piece_bytes):
        compressor.write_segment(raw, progress)
    return compressor.finish()


class FrameCompressor:
    """Compresses segments one by one into a frame."""

    def __init__(self, sink: BinaryIO, model: Model, config: CodecConfig) -> None:
        """Writes a full frame's header at once; raises ValueError if nothing would predict."""
        if model.weights is None and not config.adaptive:
            raise ValueError(f"model {NO_MODEL} without the adaptive stage: nothing would predict")
        self.config = config
        self._session = Session(model, config)
        self._writer = new_writer(sink, self._session)
        self._raw_bytes = self._payload_bytes = 0

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
        encode = self._encode_tokens if self._session.model.tokens else self._encode_bytes
        coded = encode(raw, progress)
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

    def _encode_bytes(self, raw: bytes, progress: Progress | None) -> _Coded:
        """Returns the result of the method with the shortest payload."""
        session = self._session
        methods = [Method.CODED] if session.model.weights is not None else []
        methods += [Method.MIXED] if self.config.adaptive else []
        lanes = session.lanes_for(len(raw))
        with session.open_encoder(lanes) as opened:
            coders = encode_segment(raw, opened, methods, progress)
        short = self.config.compact
        payloads = [coder.short_payload() if short else coder.payload() for coder in coders]
        method, payload = min(zip(methods, payloads, strict=True), key=lambda p: len(p[1]))
        return _Coded(method, lanes, payload)

    def _encode_tokens(self, raw: bytes, progress: Progress | None) -> _Coded | None:
        """Returns the coded tokens, or None if the segment is not text."""
        session, table = self._session, self._session.model.tokens
        assert table is not None
        symbols = tokenizer_of(session.model.folder, table).encode(raw)
        if table.num_escaped(symbols) > MAX_ESCAPED * len(raw):
            return None
        lanes = session.lanes_for(len(symbols))
        with session.open_token_encoder(lanes) as opened:
            payload = encode_tokens(symbols, opened, progress, short=self.config.compact)
        return _Coded(Method.CODED, lanes, payload)


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
    for reader in read_frames(source):
        yield from _decode_frame(reader, config, model, progress)


def _decode_frame(
    reader: Reader, config: CodecConfig, model: AnyModel | None, progress: Progress | None
) -> Iterator[bytes]:
    session = None
    for segment, payload in reader:
        if segment.method is Method.STORED:
            raw = payload
        else:
            session = session or session_for(reader.header, config, model)
            raw = _decode(segment, payload, session, progress)
        check_raw(segment, raw)
        yield raw
        del raw, payload


def _decode(segment: Segment, payload: bytes, session: Session, progress: Progress | None) -> bytes:
    if segment.lanes > MAX_LANES:
        raise CorruptFrameError(
            f"a segment has {segment.lanes} lanes, expected {MAX_LANES} at most"
        )
    decode = _decode_tokens if session.model.tokens else _decode_bytes
    return decode(segment, payload, session, progress)


def _decode_bytes(
    segment: Segment, payload: bytes, session: Session, progress: Progress | None
) -> bytes:
    try:  # only now is it known that symbols are bytes
        segment.check_payload(PRECISION_BITS)
    except ValueError as exc:
        raise CorruptFrameError(f"the frame is damaged: {exc}") from exc
    if segment.is_short:
        payload = long_payload(payload)
    with session.open_decoder(segment.lanes) as opened:
        return decode_segment(payload, segment.raw_bytes, opened, segment.method, progress)


def _decode_tokens(
    segment: Segment, payload: bytes, session: Session, progress: Progress | None
) -> bytes:
    if segment.method is not Method.CODED:
        raise CorruptFrameError("a segment of tokens is mixed, expected coded: it is damaged")
    with session.open_token_decoder(segment.lanes) as opened:
        return decode_tokens(payload, segment.raw_bytes, opened, progress, short=segment.is_short)


def _read_fully(source: BinaryIO, size: int) -> bytes:
    """Reads `size` bytes, fewer only at the end; pipes give less than asked."""
    parts = []
    while size and (part := read_some(source, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
