"""What every compressed file must survive: damage is found, and no wrong byte handed out."""

from __future__ import annotations

import pytest

import lmcompress
from lmcompress.errors import LmcompressError, TruncatedFrameError


def assert_damage_is_found(frame: bytes) -> None:
    """Flips bits of each byte in turn, then cuts the frame off at each length."""
    for position in range(len(frame)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(frame)
            damaged[position] ^= flip
            with pytest.raises(LmcompressError):
                lmcompress.decompress(bytes(damaged))
    for length in range(len(frame)):
        with pytest.raises(TruncatedFrameError):
            lmcompress.decompress(frame[:length])
