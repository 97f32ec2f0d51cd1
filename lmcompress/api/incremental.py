"""Compressors and decompressors that take data as it comes, like those of `lzma`."""

from __future__ import annotations

import io
from typing import BinaryIO, Unpack, cast

from lmcompress.api.options import CompressOptions, DecompressOptions, compression, configured
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.decoder import Encoded, SegmentDecoder
from lmcompress.codec.stream import FrameCompressor
from lmcompress.format.file import next_reader
from lmcompress.format.frame import Reader
from lmcompress.format.wire import ByteReader
from lmcompress.models.store import AnyModel


class LmcCompressor:
    """Compresses data that comes in pieces into one frame; keeps one segment in memory.

    The pieces change nothing: the result is what `lmcompress.compress` returns for all of them.
    """

    def __init__(
        self,
        model: AnyModel | None = None,
        config: CodecConfig | None = None,
        *,
        progress: Progress | None = None,
        **options: Unpack[CompressOptions],
    ) -> None:
        """Takes the arguments of `compress`, and raises what that does."""
        self._progress = progress
        self._sink = io.BytesIO()
        self._frame = FrameCompressor(self._sink, *compression(model, config, options))
        self._is_finished = False

    def compress(self, data: bytes) -> bytes:
        """Takes more data; returns the compressed bytes that are complete, often none.

        Raises:
          ValueError: After `flush`.
          LmcompressError: If the frame is compact and the data is more than it holds. After any
            error, each further call raises it again.
        """
        self._require_open()
        self._frame.write(data, self._progress)
        return self._taken()

    def flush(self) -> bytes:
        """Returns the rest of the frame; the compressor cannot be used any more."""
        self._require_open()
        self._frame.finish(self._progress)
        self._is_finished = True
        return self._taken()

    def _require_open(self) -> None:
        if self._is_finished:
            raise ValueError("the frame is finished: make a new compressor")

    def _taken(self) -> bytes:
        taken = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return taken


class LmcDecompressor:
    """Decompresses one frame that comes in pieces; keeps one segment in memory.

    For a file of several frames, make a new one for each, and hand it what is left in
    `unused_data` first.
    """

    def __init__(
        self,
        model: AnyModel | None = None,
        config: CodecConfig | None = None,
        *,
        progress: Progress | None = None,
        **options: Unpack[DecompressOptions],
    ) -> None:
        """Takes the arguments of `decompress`, and raises what that does."""
        settings = configured(config, options, DecompressOptions)
        self._input, self._progress = _Pieces(), progress
        self._reader: Reader | None = None
        self._decoder = SegmentDecoder(settings, model)
        self._raw = memoryview(b"")
        self._raw_bytes = 0
        self._is_complete = False
        self._error: BaseException | None = None

    @property
    def eof(self) -> bool:
        """Whether the end of the frame was reached, and all its bytes were handed out."""
        return self._is_complete and not self._raw

    @property
    def unused_data(self) -> bytes:
        """Bytes after the frame; none before its end."""
        return self._input.rest() if self.eof else b""

    @property
    def needs_input(self) -> bool:
        """Whether `decompress` needs more compressed bytes to go on."""
        return not self._raw and not self._is_complete

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Takes more compressed bytes; returns raw ones, each checked before it is handed out.

        Args:
          data: More of the frame, of any length.
          max_length: The most bytes to return, if it is 0 or more. The others come with the next
            call, which may hand over b"".

        Raises:
          EOFError: After the end of the frame.
          LmcompressError: What `lmcompress.decompress` raises, but for a frame that is cut short:
            `eof` is not true then.
        """
        if self.eof:
            raise EOFError("the frame has ended: make a new decompressor")
        self._input.append(data)
        pieces: list[memoryview] = []
        missing = max_length
        while missing and (self._raw or self._next_segment()):
            piece = self._raw[:missing] if missing > 0 else self._raw
            self._raw = self._raw[len(piece) :]
            missing -= len(piece) if missing > 0 else 0
            pieces.append(piece)
        return b"".join(pieces)

    def _next_segment(self) -> bool:
        """Decodes a segment, if all its bytes are there."""
        if self._error is not None:
            raise self._error
        if self._is_complete or not self._input.may_suffice:
            return False
        try:
            self._raw = memoryview(self._decode())
        except _NotYetError:
            self._input.rewind()
        except StopIteration:
            self._is_complete = True
        except BaseException as exc:  # what comes after a lost segment must not be handed out
            self._error = exc
            raise
        self._raw_bytes += len(self._raw)
        return bool(self._raw)

    def _decode(self) -> bytes:
        if self._reader is None:
            self._reader = next_reader(ByteReader(cast(BinaryIO, self._input)))
            self._input.drop()
        segment, payload = next(self._reader)
        self._input.drop()
        encoded = Encoded(self._reader.header, segment, payload, self._raw_bytes)
        return self._decoder.decode(encoded, self._progress)


class _NotYetError(Exception):
    """The bytes asked for have not come yet."""


class _Pieces(io.RawIOBase):
    """Input that grows: reading more than there is raises `_NotYetError`."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._position = self._needed = 0

    def append(self, data: bytes) -> None:
        self._bytes += data

    @property
    def may_suffice(self) -> bool:
        """Whether more is there than where a read failed; reading again from 0 takes time."""
        return len(self._bytes) >= self._needed

    def read(self, size: int = -1) -> bytes:
        end = self._position + size
        if end > len(self._bytes):
            self._needed = end
            raise _NotYetError
        piece = bytes(self._bytes[self._position : end])
        self._position = end
        return piece

    def rewind(self) -> None:
        """Goes back to what was not dropped."""
        self._position = 0

    def drop(self) -> None:
        """Forgets what was read."""
        del self._bytes[: self._position]
        self._position = self._needed = 0

    def rest(self) -> bytes:
        return bytes(self._bytes[self._position :])
