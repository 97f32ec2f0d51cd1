"""Frames: what `full.py` and `compact.py`, which write and read them, have in common.

A frame is a header and segments. Only bytes are known here, neither model nor coder; docs/format.md
holds the byte layout and what is promised about it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal, Protocol

from lmcompress.errors import CorruptFrameError
from lmcompress.format.header import RAW_CHECKSUM_BYTES, FrameTotals, Method

__all__ = [
    "Header",
    "Method",
    "Reader",
    "Segment",
    "Writer",
    "check_raw",
    "raw_checksum",
]


class Header(Protocol):
    """What a decoder must know about a frame; "" and 0 stand for what the frame does not say."""

    @property
    def kind(self) -> Literal["full", "compact"]:
        """Full or compact."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def fingerprint(self) -> bytes:
        """The model's fingerprint, or how it begins."""

    @property
    def arithmetic_version(self) -> int:
        """Version of the arithmetic that gave the frequencies."""

    @property
    def tokenizer(self) -> str:
        """The kind of symbols, such as bytes."""

    @property
    def precision_bits(self) -> int:
        """A row of frequencies sums to 2**precision_bits."""

    @property
    def window(self) -> int:
        """Tokens per model window; 0 if the model streams."""

    @property
    def overlap(self) -> int:
        """Tokens that a window takes over from the one before."""

    @property
    def prompt_sha256(self) -> bytes:
        """SHA-256 of the prompt, or how it begins; empty without a prompt."""

    @property
    def prompt_name(self) -> str:
        """How an error names a missing prompt."""


class Segment(Protocol):
    """What both kinds of frames say about a segment."""

    @property
    def method(self) -> Method:
        """How the payload holds the raw bytes."""

    @property
    def raw_bytes(self) -> int:
        """Bytes before compression."""

    @property
    def lanes(self) -> int:
        """Lanes that the model stepped through together; 0 if stored."""

    @property
    def payload_bytes(self) -> int:
        """Bytes of the payload."""

    @property
    def raw_checksum(self) -> bytes:
        """`raw_checksum` of the raw bytes, or how it begins."""

    @property
    def is_short(self) -> bool:
        """Whether the coder's bytes are cut short."""

    @property
    def mismatch(self) -> str:
        """Why decoded bytes may differ from those that were compressed."""


class Writer(Protocol):
    """Writes one frame; the sink need not seek and is not closed."""

    bytes_written: int

    def write_stored(self, raw: bytes) -> None:
        """Writes a segment whose payload is the raw bytes."""

    def write_coded(
        self, raw_bytes: int, lanes: int, payload: bytes, raw_checksum: bytes, method: Method
    ) -> None:
        """Writes a segment that the coder made; raises ValueError if no reader would take it."""

    def coding_overhead(self, lanes: int, payload_bytes: int) -> int:
        """Returns the bytes of a coded segment beyond those of a stored one, without payloads."""

    def finish(self) -> None:
        """Ends the frame; nothing can be written after it."""


class Reader(Protocol):
    """Reads one frame: its header at construction, then (segment, payload) one by one."""

    @property
    def header(self) -> Header:
        """What a decoder must know."""

    @property
    def totals(self) -> FrameTotals:
        """Sizes of the whole frame; raises ValueError before the last segment was read."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the frame's end was read and agreed with its segments."""

    def __iter__(self) -> Iterator[tuple[Segment, bytes]]:
        """Returns the reader: segments come once."""

    def __next__(self) -> tuple[Segment, bytes]:
        """Reads the next segment."""


def raw_checksum(raw: bytes) -> bytes:
    """Returns 8 bytes: BLAKE2b of the raw bytes (RFC 7693)."""
    return hashlib.blake2b(raw, digest_size=RAW_CHECKSUM_BYTES).digest()


def check_raw(segment: Segment, raw: bytes) -> None:
    """Raises CorruptFrameError unless `raw` is what was compressed into the segment."""
    expected = segment.raw_checksum
    found = raw_checksum(raw)[: len(expected)]
    if (found, len(raw)) == (expected, segment.raw_bytes):
        return
    raise CorruptFrameError(
        f"decoded bytes do not match the segment's checksum: found {found.hex()} over {len(raw)} "
        f"bytes, expected {expected.hex()} over {segment.raw_bytes} bytes: {segment.mismatch}"
    )
