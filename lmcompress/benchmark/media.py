"""PNG and FLAC as codecs for any bytes: read as grey rows, or as 8-bit mono sound.

As Delétang et al. (2024) use them, on their own ground and off it; both give every byte back. They
need the extra `paper`.
"""

from __future__ import annotations

import importlib.metadata
import io

import numpy as np

from lmcompress.benchmark.classical import ClassicalCodec
from lmcompress.benchmark.protocol import Codec
from lmcompress.errors import CorruptFrameError
from lmcompress.system.extras import needs_extra

PNG_COLUMNS = 64
"""Bytes in a row: the width of the paper's image patches."""
_PNG_SIZE_KEY = "raw-bytes"
_FLAC_RATE_HZ = 16_000
_EMPTY = b""
"""Neither format can hold an empty input."""


def media_codecs() -> list[Codec]:
    """Returns PNG and FLAC; raises MissingDependencyError if their packages are not installed."""
    with needs_extra("paper", "PNG or FLAC", "PIL", "soundfile"):
        return [_png(), _flac()]


def _png() -> Codec:
    """PNG at zlib level 9, its filters chosen row by row.

    The last row is padded with zeros; if it is, a text chunk holds the raw size.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngImageFile, PngInfo

    def compress(raw: bytes) -> bytes:
        if not raw:
            return _EMPTY
        rows, sink, info = -(-len(raw) // PNG_COLUMNS), io.BytesIO(), PngInfo()
        if len(raw) % PNG_COLUMNS:
            info.add_text(_PNG_SIZE_KEY, str(len(raw)))
        pixels = raw.ljust(rows * PNG_COLUMNS, b"\0")
        image = Image.frombytes("L", (PNG_COLUMNS, rows), pixels)
        image.save(sink, "PNG", optimize=True, pnginfo=info)
        return sink.getvalue()

    def decompress(compressed: bytes) -> bytes:
        if not compressed:
            return _EMPTY
        # Not through Image.open, which refuses pictures of more than 90 million pixels.
        with PngImageFile(io.BytesIO(compressed)) as image:
            raw = image.tobytes()
            return raw[: int(image.text.get(_PNG_SIZE_KEY, len(raw)))]

    version = f"Pillow {importlib.metadata.version('pillow')}"
    return ClassicalCodec("png-9", version, compress, decompress)


def _flac() -> Codec:
    """FLAC at level 8 of 8-bit mono samples."""
    import soundfile

    def compress(raw: bytes) -> bytes:
        if not raw:
            return _EMPTY
        # libsndfile takes the upper half of 16-bit samples for the 8 bits.
        samples = (np.frombuffer(raw, np.uint8).astype(np.int16) - 128) << 8
        sink = io.BytesIO()
        options = {"subtype": "PCM_S8", "compression_level": 1.0}  # of 0 to 1, for 0 to 8
        soundfile.write(sink, samples, _FLAC_RATE_HZ, format="FLAC", **options)
        return sink.getvalue()

    def decompress(compressed: bytes) -> bytes:
        if not compressed:
            return _EMPTY
        try:
            samples, _ = soundfile.read(io.BytesIO(compressed), dtype="int16")
        except soundfile.SoundFileError as exc:
            raise CorruptFrameError(
                f"the FLAC data cannot be read ({exc}): compress it again"
            ) from exc
        return bytes(((samples >> 8) + 128).astype(np.uint8))

    return ClassicalCodec(
        "flac-8", f"libsndfile {soundfile.__libsndfile_version__}", compress, decompress
    )
