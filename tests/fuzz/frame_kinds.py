"""Frames: what is done with them, and what comes out of it if no error does.

A new operation takes one line in OPERATIONS; what it returns is judged by `check_raw`, against
the frames' own checksums, or against what is known of the seeds.
"""

from __future__ import annotations

import copy
import functools
import io
import random

import lmcompress
from lmcompress.cli.info import _text
from lmcompress.codec.salvage import salvage_stream
from lmcompress.format.file import read_frames
from tests.fuzz.case import MIB, Case, Kind, Limits, Operation, Setting, Wrong
from tests.fuzz.forgery import forged
from tests.fuzz.layout import Damaged, Frame, frames
from tests.fuzz.mutations import damaged
from tests.fuzz.seeds import Seed, frame_seeds


class Trickle(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._source = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self._source.read(min(size or 0, 7) if size and size > 0 else 7)


def decompress(case: Case, setting: Setting) -> None:
    check_raw(case, lmcompress.decompress(case.data, config=setting.config))


def read_opened(case: Case, setting: Setting) -> None:
    with lmcompress.open(Trickle(case.data), config=setting.config) as file:  # type: ignore[call-overload]
        check_raw(case, b"".join(iter(lambda: file.read(5), b"")))


def read_from_the_middle(case: Case, setting: Setting) -> None:
    """Starts at the second byte, so that the whole is known where nothing is damaged."""
    with lmcompress.open(io.BytesIO(case.data), config=setting.config) as file:
        file.seek(1)
        rest = file.read()
    file = lmcompress.open(io.BytesIO(case.data), config=setting.config)
    check_raw(case, file.read(1) + rest)


def read_in_pieces(case: Case, setting: Setting) -> None:
    """Takes one frame after the other, as far as they are whole."""
    source, rest, raw = io.BytesIO(case.data), b"", b""
    while rest or source.tell() < len(case.data) or not case.data:
        decompressor = lmcompress.LmcDecompressor(config=setting.config)
        while not decompressor.eof:
            piece = rest or source.read(11)
            if not piece:
                raise lmcompress.TruncatedFrameError("the frame does not end")
            raw, rest = raw + decompressor.decompress(piece), b""
        rest = decompressor.unused_data
    check_raw(case, raw)


def salvage(case: Case, setting: Setting) -> None:
    """Whatever is damaged, bytes that come back must be those of whole segments."""
    sink = io.BytesIO()
    if not salvage_stream(io.BytesIO(case.data), sink, setting.config).gaps:
        check_raw(case, sink.getvalue())
    elif not case.is_forged and not _is_of_known_segments(sink.getvalue()):
        raise Wrong("salvaged bytes that no segment holds")


def describe(case: Case, setting: Setting) -> None:
    """Payloads are not read, so their damage is for others to find."""
    info = lmcompress.info(io.BytesIO(case.data))
    if not all(line.isprintable() for line in _text("name", info).split("\n")):
        raise Wrong("`info` shows characters that a terminal hides or obeys")
    if info.compressed_bytes != len(case.data):
        raise Wrong(f"`info` found {info.compressed_bytes} bytes of {len(case.data)}")


def read_headers(case: Case, setting: Setting) -> None:
    found = [
        (segment.method, segment.raw_bytes, payload)
        for reader in read_frames(io.BytesIO(case.data))
        for segment, payload in reader
    ]
    expected = [
        (segment.method, segment.raw_bytes, segment.payload)
        for frame in _whole_frames(case.data)
        for segment in frame.segments
    ]
    if found != expected:
        raise Wrong(f"read {found}, an independent reader {expected}")


OPERATIONS: dict[str, tuple[int, Operation]] = {
    "decompress": (5, decompress),
    "open": (1, read_opened),
    "seek": (1, read_from_the_middle),
    "pieces": (1, read_in_pieces),
    "salvage": (1, salvage),
    "info": (2, describe),
    "headers": (2, read_headers),
}


def check_raw(case: Case, raw: bytes) -> None:
    """Raises Wrong unless the frames' own checksums confirm every byte of what was decoded.

    Where checksums were not made right again, each frame must also be one of the seeds'.
    """
    at = 0
    for frame in _whole_frames(case.data):
        start = at
        for segment in frame.segments:
            piece = raw[at : at + segment.raw_bytes]
            if not segment.holds(piece):
                raise Wrong(f"bytes {at} to {at + segment.raw_bytes} have another checksum")
            at += segment.raw_bytes
        if not case.is_forged and raw[start:at] not in _known():
            raise Wrong(f"bytes {start} to {at} are those of no frame that was damaged")
    if at != len(raw):
        raise Wrong(f"decoded {len(raw)} bytes, the frames hold {at}")


def _whole_frames(data: bytes) -> list[Frame]:
    try:
        return list(frames(data))
    except Damaged as exc:
        raise Wrong(f"accepted what an independent reader refuses: {exc}") from exc


@functools.cache
def _parsed(seed: Seed) -> list[Frame]:
    return list(frames(seed.data))


@functools.cache
def _known() -> set[bytes]:
    """What each frame of the seeds decodes to."""
    known = set()
    for seed in (seed for seeds in frame_seeds().values() for seed in seeds):
        at = 0
        for frame in _parsed(seed):
            size = sum(segment.raw_bytes for segment in frame.segments)
            known.add(seed.raw[at : at + size])
            at += size
    return known


@functools.cache
def _known_segments() -> set[bytes]:
    known = set()
    for seed in (seed for seeds in frame_seeds().values() for seed in seeds):
        at = 0
        for segment in (segment for frame in _parsed(seed) for segment in frame.segments):
            known.add(seed.raw[at : at + segment.raw_bytes])
            at += segment.raw_bytes
    return known


def _is_of_known_segments(raw: bytes) -> bool:
    ends = {0}
    for start in range(len(raw)):
        if start in ends:
            ends |= {start + len(s) for s in _known_segments() if raw.startswith(s, start)}
    return len(raw) in ends


def _make(name: str, forgeries: float, rng: random.Random) -> tuple[bytes, bool]:
    seed = rng.choice(frame_seeds()[name])
    other = rng.choice(frame_seeds()[rng.choice([*frame_seeds()])])
    if rng.random() < forgeries:
        return forged(copy.deepcopy(_parsed(seed)), copy.deepcopy(_parsed(other)), rng), True
    return damaged(seed.data, other.data, rng), False


def _claimed(data: bytes) -> int:
    """Returns the raw bytes of the largest segment, as far as the data is whole."""
    most = 0
    try:
        for frame in frames(data):
            most = max([most, *(segment.raw_bytes for segment in frame.segments)])
    except Damaged:
        pass
    return most


def _limits(data: bytes) -> Limits:
    """Decoding takes time and memory for the bytes that a segment claims, if it may hold them.

    The adaptive stage's tables take 28 MiB; after a prompt, they are made twice, of 105 MiB each.
    """
    claimed = _claimed(data)
    return Limits(10 + claimed / 5000, 384 * MIB + 16 * claimed)


def _kind(name: str, weight: float, forgeries: float) -> Kind:
    def make(rng: random.Random) -> tuple[bytes, bool]:
        return _make(name, forgeries, rng)

    def seeds() -> list[bytes]:
        return [seed.data for seed in frame_seeds()[name]]

    return Kind(name, weight, make, OPERATIONS, seeds, _limits)


FRAME_KINDS: list[Kind] = [
    _kind("stored", 24, 0.6),
    _kind("coded", 10, 0.5),
    _kind("compact", 10, 0.6),
    _kind("none", 4, 0.6),
    _kind("mixed", 2, 0.6),
    _kind("prompt", 1, 0.5),
    _kind("segments", 6, 0.5),
    _kind("tokens", 4, 0.6),
    _kind("frames", 8, 0.5),
]
"""The weights leave little time to what takes long: mixed segments, whose decoder fills 28 MB of
tables, and prompts."""
