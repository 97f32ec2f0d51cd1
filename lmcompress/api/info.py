"""What the headers of an .lmc file say, read without decoding it or loading its model."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import BinaryIO, Literal

from lmcompress.errors import LmcompressError
from lmcompress.format.file import read_frames
from lmcompress.format.frame import Reader
from lmcompress.format.header import FORMAT_VERSION
from lmcompress.format.wire import ByteReader
from lmcompress.metrics import adjusted_compression_rate, bits_per_byte, raw_compression_rate
from lmcompress.models.manifest import stored_model_bytes
from lmcompress.models.store import NO_MODEL, fingerprints, folders_with


@dataclasses.dataclass(frozen=True)
class SegmentInfo:
    """One segment: bytes that decode on their own."""

    method: str
    """How it was compressed: "stored", "coded" (by the GPT alone), "mixed" (by the GPT and the
    adaptive stage) or "adaptive" (by that stage alone)."""
    raw_bytes: int
    payload_bytes: int
    lanes: int
    """Parts that the model reads in parallel; 0 if stored."""


@dataclasses.dataclass(frozen=True)
class FrameInfo:
    """One frame. A field is None if the header, terse in a compact frame, does not say it."""

    kind: Literal["full", "compact"]
    format_version: int
    model: str | None
    """The name in the header or, of a compact frame, that of the installed model it matches."""
    fingerprint: str | None
    """The model's, in hex; of a compact frame its first 8 digits."""
    model_is_installed: bool | None
    """None if that is known only once an installed model is loaded."""
    model_bytes: int | None
    """Size of the installed model; 0 if none is needed."""
    arithmetic_version: int | None
    tokenizer: str | None
    """What the model's symbols are: "bytes" or "tokens"."""
    precision_bits: int
    """Symbol frequencies sum to 2**precision_bits."""
    window: int | None
    """Tokens per window of the model; 0 if it reads on without windows."""
    overlap: int | None
    """Tokens that a window repeats from the one before."""
    prompt: str | None
    """Name of the prompt that is needed, if one is."""
    prompt_sha256: str | None
    """In hex; of a compact frame its first 8 digits."""
    raw_bytes: int
    payload_bytes: int
    segments: tuple[SegmentInfo, ...]


@dataclasses.dataclass(frozen=True)
class FileInfo:
    """An .lmc file: one frame or more. Rates are None if it holds no data."""

    raw_bytes: int
    """Bytes that were compressed."""
    payload_bytes: int
    """Compressed bytes without headers and checksums."""
    compressed_bytes: int
    """Bytes of the file."""
    bits_per_byte: float | None
    """8 * compressed_bytes / raw_bytes."""
    raw_compression_rate: float | None
    """compressed_bytes / raw_bytes."""
    adjusted_compression_rate: float | None
    """The same with each model's bytes counted once. None if a model is not installed."""
    frames: tuple[FrameInfo, ...]


def info(file: str | os.PathLike[str] | BinaryIO) -> FileInfo:
    """Describes an .lmc file from its headers.

    Payloads are skipped, so damage inside them goes unnoticed: decompress to find it.

    Args:
      file: A path, or a file object in binary mode, which is read to its end and stays open.

    Raises:
      OSError: If the file cannot be opened.
      CorruptFrameError: If a header is damaged, or it is not an .lmc file.
      TruncatedFrameError: If the file ends too early.
      UnsupportedVersionError: If a frame needs a newer lmcompress.
    """
    if not isinstance(file, str | os.PathLike):
        return _describe_file(file)
    with Path(file).open("rb") as source:
        return _describe_file(source)


def _describe_file(source: BinaryIO) -> FileInfo:
    stream = ByteReader(source)
    frames = tuple(map(_describe_frame, read_frames(stream, skip_payloads=True)))
    raw_bytes = sum(frame.raw_bytes for frame in frames)
    compressed_bytes, model_bytes = stream.position, _model_bytes(frames)
    return FileInfo(
        raw_bytes=raw_bytes,
        payload_bytes=sum(frame.payload_bytes for frame in frames),
        compressed_bytes=compressed_bytes,
        bits_per_byte=bits_per_byte(compressed_bytes, raw_bytes) if raw_bytes else None,
        raw_compression_rate=(
            raw_compression_rate(compressed_bytes, raw_bytes) if raw_bytes else None
        ),
        adjusted_compression_rate=(
            adjusted_compression_rate(compressed_bytes, model_bytes, raw_bytes)
            if raw_bytes and model_bytes is not None
            else None
        ),
        frames=frames,
    )


def _model_bytes(frames: tuple[FrameInfo, ...]) -> int | None:
    """Returns the bytes of all models, each counted once; None if one is not installed."""
    # Of a compact frame only the beginning of the fingerprint is known.
    sizes = {(f.model, (f.fingerprint or "")[:8]): f.model_bytes for f in frames}
    known = [size for size in sizes.values() if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _describe_frame(reader: Reader) -> FrameInfo:
    segments = tuple(
        SegmentInfo(
            segment.method.name.lower(), segment.raw_bytes, segment.payload_bytes, segment.lanes
        )
        for segment, _ in reader
    )
    header = reader.header
    installed, is_full = _InstalledModel.find(header.fingerprint), header.kind == "full"
    return FrameInfo(
        kind=header.kind,
        format_version=FORMAT_VERSION,  # a reader refuses any other
        model=header.model or installed.name,
        fingerprint=header.fingerprint.hex() or None,
        model_is_installed=installed.is_installed,
        model_bytes=installed.model_bytes,
        arithmetic_version=header.arithmetic_version or (0 if is_full else None),
        tokenizer=header.tokenizer or None,
        precision_bits=header.precision_bits,
        window=header.window if is_full else None,
        overlap=header.overlap if is_full else None,
        prompt=header.prompt_name or None,
        prompt_sha256=header.prompt_sha256.hex() or None,
        raw_bytes=sum(segment.raw_bytes for segment in segments),
        payload_bytes=sum(segment.payload_bytes for segment in segments),
        segments=segments,
    )


@dataclasses.dataclass(frozen=True)
class _InstalledModel:
    """What is known of the installed model that a fingerprint leads to."""

    name: str | None = None
    is_installed: bool | None = False
    model_bytes: int | None = None

    @classmethod
    def find(cls, prefix: bytes) -> _InstalledModel:
        """Looks for the model whose fingerprint begins with `prefix`; none is needed for zeros."""
        if not any(prefix):
            return cls(NO_MODEL if prefix else None, True, 0)
        matching = folders_with(prefix)
        if len(matching) == 1:
            return cls(matching[0].name, True, _bytes_or_none(matching[0]))
        if matching or any(fingerprint is None for _, fingerprint in fingerprints()):
            return cls(is_installed=None)
        return cls()


def _bytes_or_none(folder: Path) -> int | None:
    try:
        return stored_model_bytes(folder)
    except LmcompressError:  # weights that are missing or cut short are for `load_model` to report
        return None
