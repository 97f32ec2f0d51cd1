"""`open`: .lmc files that read, seek and write as gzip's and lzma's do."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, Unpack, cast, overload

from lmcompress.api.options import (
    CompressOptions,
    DecompressOptions,
    compression,
    configured,
)
from lmcompress.api.reader import DecompressedFile
from lmcompress.api.writer import CompressedFile
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.stream import FrameCompressor
from lmcompress.models.store import AnyModel, Model

AnyFile = str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO
"""A path, or a file object that is open in binary mode."""
_ReadMode = Literal["r", "rb"]
_WriteMode = Literal["w", "wb", "x", "xb", "a", "ab"]
_ReadTextMode = Literal["rt"]
_WriteTextMode = Literal["wt", "xt", "at"]


@overload
def open(
    file: AnyFile, mode: _ReadMode = "rb", model: AnyModel | None = None,
    config: CodecConfig | None = None, *, progress: Progress | None = None,
    **options: Unpack[DecompressOptions],
) -> io.BufferedReader: ...  # fmt: skip
@overload
def open(
    file: AnyFile, mode: _WriteMode, model: AnyModel | None = None,
    config: CodecConfig | None = None, *, progress: Progress | None = None,
    **options: Unpack[CompressOptions],
) -> io.BufferedWriter: ...  # fmt: skip
@overload
def open(
    file: AnyFile, mode: _ReadTextMode, model: AnyModel | None = None,
    config: CodecConfig | None = None, encoding: str | None = None, errors: str | None = None,
    newline: str | None = None, *, progress: Progress | None = None,
    **options: Unpack[DecompressOptions],
) -> io.TextIOWrapper: ...  # fmt: skip
@overload
def open(
    file: AnyFile, mode: _WriteTextMode, model: AnyModel | None = None,
    config: CodecConfig | None = None, encoding: str | None = None, errors: str | None = None,
    newline: str | None = None, *, progress: Progress | None = None,
    **options: Unpack[CompressOptions],
) -> io.TextIOWrapper: ...  # fmt: skip
def open(
    file: AnyFile,
    mode: _ReadMode | _WriteMode | _ReadTextMode | _WriteTextMode = "rb",
    model: AnyModel | None = None,
    config: CodecConfig | None = None,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> io.BufferedIOBase | io.TextIOWrapper:
    """Opens an .lmc file, as `gzip.open` opens a .gz file.

    Reading and writing keep one segment in memory. A file that is written is complete only once it
    is closed, so use `with`. A file that is read can `seek` if the file below can: to a byte in
    another segment costs the decoding of that segment, so write small ones where that matters.

    Args:
      file: A path, or a file object in binary mode, which need not be able to seek and stays open.
      mode: "r", "w", "x" or "a", and "b" (the default) or "t", as in Python's own `open`. "a"
        adds a frame: a file may hold several, and reads as what they hold, one after another.
      model: When writing, the model to compress with, lmc-3m if None. When reading, the model that
        made the file; needed only if it is not installed.
      config: Settings to start from; keywords override its fields.
      encoding: In text mode, as in Python's own `open`.
      errors: The same.
      newline: The same.
      progress: Called with the number of raw bytes done since the last call.
      **options: When writing, the keywords of `compress`; when reading, those of `decompress`.

    Raises:
      OSError: If the file cannot be opened.
      ModelNotFoundError: When writing, if the model is unknown.
      ValueError: If `mode` is unknown, or a setting is out of range.
      LmcompressError: While reading, what `decompress` raises.
    """
    action, is_text = mode[:1], mode.endswith("t")
    if action not in ("r", "w", "x", "a") or mode[1:] not in ("", "b", "t"):
        raise ValueError(f"mode is {mode!r}, expected r, w, x or a with b or t")
    if not is_text and (encoding, errors, newline) != (None, None, None):
        raise ValueError("encoding, errors and newline are for text: add t to the mode")
    if is_text:  # raises for an unknown encoding or newline, before a file is emptied
        io.TextIOWrapper(io.BytesIO(), encoding, errors, newline)
    if action == "r":
        settings = configured(config, cast(DecompressOptions, options), DecompressOptions)
        source, close = _opened(file, "rb")
        binary = io.BufferedReader(DecompressedFile(source, settings, model, progress, close))
        return io.TextIOWrapper(binary, encoding, errors, newline) if is_text else binary
    chosen, settings = compression(model, config, cast(CompressOptions, options))
    writer = io.BufferedWriter(_new_file(file, f"{action}b", chosen, settings, progress))
    return io.TextIOWrapper(writer, encoding, errors, newline) if is_text else writer


def _new_file(
    file: AnyFile, mode: str, model: Model, config: CodecConfig, progress: Progress | None
) -> CompressedFile:
    FrameCompressor(io.BytesIO(), model, config)  # raises before a file is emptied
    sink, close = _opened(file, mode)
    try:
        return CompressedFile(FrameCompressor(sink, model, config), close, progress)
    except BaseException:  # such as a full disk, when the header is written
        close()
        raise


def _opened(file: AnyFile, mode: str) -> tuple[BinaryIO, Callable[[], None]]:
    """Returns an open file and what closes it; a file object that was given stays open."""
    if not isinstance(file, str | bytes | os.PathLike):
        return file, lambda: None
    opened = cast(BinaryIO, Path(os.fsdecode(file)).open(mode))  # noqa: SIM115 - the caller closes it
    return opened, opened.close
