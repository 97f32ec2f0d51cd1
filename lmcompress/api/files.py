"""`open`: .lmc files that read and write as gzip's and lzma's do."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, Unpack, cast, overload

from lmcompress.api.options import CompressOptions, DecompressOptions, configured
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.stream import FrameCompressor, decompressed_segments
from lmcompress.models.store import DEFAULT_MODEL, AnyModel, as_model

AnyFile = str | os.PathLike[str] | BinaryIO
"""A path, or a file object that is open in binary mode."""
_ReadMode = Literal["r", "rb"]
_WriteMode = Literal["w", "wb", "x", "xb"]
_ReadTextMode = Literal["rt"]
_WriteTextMode = Literal["wt", "xt"]


@overload
def open(
    file: AnyFile, mode: _ReadMode = "rb", model: AnyModel | None = None,
    config: CodecConfig | None = None, **options: Unpack[DecompressOptions],
) -> io.BufferedReader: ...  # fmt: skip
@overload
def open(
    file: AnyFile, mode: _WriteMode, model: AnyModel | None = None,
    config: CodecConfig | None = None, **options: Unpack[CompressOptions],
) -> io.BufferedWriter: ...  # fmt: skip
@overload
def open(
    file: AnyFile, mode: _ReadTextMode, model: AnyModel | None = None,
    config: CodecConfig | None = None, encoding: str | None = None, errors: str | None = None,
    newline: str | None = None, **options: Unpack[DecompressOptions],
) -> io.TextIOWrapper: ...  # fmt: skip
@overload
def open(
    file: AnyFile, mode: _WriteTextMode, model: AnyModel | None = None,
    config: CodecConfig | None = None, encoding: str | None = None, errors: str | None = None,
    newline: str | None = None, **options: Unpack[CompressOptions],
) -> io.TextIOWrapper: ...  # fmt: skip
def open(
    file: AnyFile,
    mode: _ReadMode | _WriteMode | _ReadTextMode | _WriteTextMode = "rb",
    model: AnyModel | None = None,
    config: CodecConfig | None = None,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    **options: Unpack[CompressOptions],
) -> io.BufferedIOBase | io.TextIOWrapper:
    """Opens an .lmc file, as `gzip.open` opens a .gz file.

    Reading and writing keep one segment in memory. A file that is written is complete only once it
    is closed, so use `with`.

    Args:
      file: A path, or a file object in binary mode, which need not be able to seek and stays open.
      mode: "r", "w" or "x", and "b" (the default) or "t", as in Python's own `open`.
      model: When writing, the model to compress with, lmc-3m if None. When reading, the model that
        made the file; needed only if it is not installed.
      config: Settings to start from; keywords override its fields.
      encoding: In text mode, as in Python's own `open`.
      errors: The same.
      newline: The same.
      **options: When writing, the keywords of `compress`; when reading, those of `decompress`.

    Raises:
      OSError: If the file cannot be opened.
      ModelNotFoundError: When writing, if the model is unknown.
      ValueError: If `mode` is unknown, or a setting is out of range.
      LmcompressError: While reading, what `decompress` raises.
    """
    action, is_text = mode[:1], mode.endswith("t")
    if action not in ("r", "w", "x") or mode[1:] not in ("", "b", "t"):
        raise ValueError(f"mode is {mode!r}, expected r, w or x with b or t")
    if not is_text and (encoding, errors, newline) != (None, None, None):
        raise ValueError("encoding, errors and newline are for text: add t to the mode")
    allowed = DecompressOptions if action == "r" else CompressOptions
    settings = configured(config, options, allowed)
    if is_text:  # raises for an unknown encoding or newline, before a file is emptied
        io.TextIOWrapper(io.BytesIO(), encoding, errors, newline)
    binary: io.BufferedReader | io.BufferedWriter
    if action == "r":
        source, close = _opened(file, "rb")
        binary = io.BufferedReader(_Reader(decompressed_segments(source, settings, model), close))
    else:
        chosen = as_model(DEFAULT_MODEL if model is None else model)
        FrameCompressor(io.BytesIO(), chosen, settings)  # raises before a file is emptied
        sink, close = _opened(file, f"{action}b")
        try:
            compressor = FrameCompressor(sink, chosen, settings)
        except BaseException:  # such as a full disk, when the header is written
            close()
            raise
        binary = io.BufferedWriter(_Writer(compressor, close))
    return io.TextIOWrapper(binary, encoding, errors, newline) if is_text else binary


def _opened(file: AnyFile, mode: str) -> tuple[BinaryIO, Callable[[], None]]:
    """Returns an open file and what closes it; a file object that was given stays open."""
    if not isinstance(file, str | os.PathLike):
        return file, lambda: None
    opened = cast(BinaryIO, Path(file).open(mode))  # noqa: SIM115 - the caller closes it
    return opened, opened.close


class _Reader(io.RawIOBase):
    """Takes segments, decompressed one by one, as bytes are asked for."""

    def __init__(self, segments: Iterator[bytes], close: Callable[[], None]) -> None:
        self._segments = segments
        self._close_file = close
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
        self._close_file()
        super().close()


class _Writer(io.RawIOBase):
    """Compresses what is written, segment by segment.

    After a failed write it refuses all others: the buffer above would write those bytes again, and
    a file with bytes twice would pass its checks. The file stays cut short, which its reader sees.
    """

    def __init__(self, compressor: FrameCompressor, close: Callable[[], None]) -> None:
        self._compressor = compressor
        self._close_file = close
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
                self._close_file()
                super().close()
