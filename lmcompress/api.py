"""The Python interface: compress, decompress, and files that read and write like gzip's."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, Literal, cast

from lmcompress.codec.config import CodecConfig
from lmcompress.codec.stream import (
    FrameCompressor,
    compress_stream,
    decompress_stream,
    decompressed_segments,
)
from lmcompress.models.store import DEFAULT_MODEL, AnyModel, Model, as_model


def compress(
    data: bytes, model: AnyModel = DEFAULT_MODEL, config: CodecConfig | None = None
) -> bytes:
    """Returns `data` as one .lmc frame.

    Args:
      data: Any bytes.
      model: A name, a checkpoint's folder, or a loaded model.
      config: Lanes, segment size, device, threads.

    Raises:
      ModelNotFoundError: If there is no such model.
      LmcompressError: If `config` asks for a compact frame and `data` is more than one segment.
    """
    sink = io.BytesIO()
    compress_stream(io.BytesIO(data), sink, as_model(model), config or CodecConfig())
    return sink.getvalue()


def decompress(
    data: bytes, model: AnyModel | None = None, config: CodecConfig | None = None
) -> bytes:
    """Returns the bytes that were compressed into one or more frames.

    Args:
      data: What `compress` returned.
      model: The model or where it is, if what the frame says of it does not find it.
      config: Device, threads, prompt; the rest stands in the frame.

    Raises:
      CorruptFrameError: If anything is damaged.
      ModelNotFoundError: If the model that made the frame is not at hand.
      PromptNotFoundError: If the frame was made with a prompt that `config` does not have.
      UnsupportedVersionError: If the frame needs a newer lmcompress.
    """
    sink = io.BytesIO()
    decompress_stream(io.BytesIO(data), sink, config, model)
    return sink.getvalue()


class _SegmentReader(io.RawIOBase):
    """Decompresses segment by segment as bytes are asked for."""

    def __init__(self, source: BinaryIO, config: CodecConfig, model: AnyModel | None) -> None:
        self._source = source
        self._segments = decompressed_segments(source, config, model)
        self._rest = memoryview(b"")
        self._error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        while not self._rest:
            segment = self._next_segment()
            if segment is None:
                return 0
            self._rest = memoryview(segment)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next_segment(self) -> bytes | None:
        if self._error is not None:  # a generator that raised would look like one that ended
            raise self._error
        try:
            return next(self._segments, None)
        except BaseException as exc:
            self._error = exc
            raise

    def close(self) -> None:
        self._source.close()
        super().close()


class _FrameFile(io.RawIOBase):
    """Compresses what is written, segment by segment.

    After a failed write nothing more is taken: the buffer above would write those bytes again, and
    a file with bytes twice would pass its checks. It stays cut short, which its reader sees.
    """

    def __init__(self, sink: BinaryIO, model: Model, config: CodecConfig) -> None:
        self._sink = sink
        self._compressor = FrameCompressor(sink, model, config)
        self._raw = bytearray()
        self._error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        if self._error is not None:
            raise self._error
        try:
            self._raw += data
            size = self._compressor.piece_bytes
            while len(self._raw) >= size:
                self._compressor.write_segment(bytes(self._raw[:size]))
                del self._raw[:size]
        except BaseException as exc:
            self._error = exc
            raise
        return len(data)

    def close(self) -> None:
        if not self.closed:
            try:
                if self._error is None:
                    if self._raw:
                        self._compressor.write_segment(bytes(self._raw))
                    self._compressor.finish()
            finally:
                self._sink.close()
                super().close()


def open(
    path: str | os.PathLike[str],
    mode: Literal["r", "rb", "rt", "w", "wb", "wt", "x", "xb", "xt"] = "rb",
    model: AnyModel = DEFAULT_MODEL,
    config: CodecConfig | None = None,
    encoding: str | None = None,
) -> BinaryIO | io.TextIOWrapper:
    """Opens an .lmc file as gzip.open opens a .gz: binary by default, text with "t".

    Reading and writing hold one segment in memory; a file is whole once it was closed.
    """
    action, is_text = mode[:1], mode.endswith("t")
    if action not in ("r", "w", "x") or mode[1:] not in ("", "b", "t"):
        raise ValueError(f"mode is {mode!r}, expected r, w or x with b or t")
    config = config or CodecConfig()
    binary: io.BufferedIOBase
    if action == "r":
        maker = None if model == DEFAULT_MODEL else model
        source = Path(path).open("rb")  # noqa: SIM115 - the file object returned closes it
        binary = io.BufferedReader(_SegmentReader(source, config, maker))
    else:
        chosen = as_model(model)
        FrameCompressor(io.BytesIO(), chosen, config)  # what cannot be done empties no file
        sink = Path(path).open(f"{action}b")  # noqa: SIM115 - likewise
        binary = io.BufferedWriter(_FrameFile(cast(BinaryIO, sink), chosen, config))
    return io.TextIOWrapper(binary, encoding) if is_text else cast(BinaryIO, binary)
