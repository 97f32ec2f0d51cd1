"""Frames with other values in their fields and right checksums: what only a decoder refuses."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.fuzz.layout import (
    ADAPTIVE,
    CODED,
    MIXED,
    STORED,
    CompactFrame,
    Frame,
    FullFrame,
    Segment,
    checksum,
    varint,
)
from tests.fuzz.mutations import NAMES, NUMBERS, damaged, near

_NOT_UTF_8 = (b"\xff", b"\xed\xa0\x80", b"\xc0\x80")
_MOST_WORK = 1 << 17
"""A claim of more bytes is lowered if the decoder would believe it: a fuzzer has no time for it."""


def forged(frames: Sequence[Frame], others: Sequence[Frame], rng: random.Random) -> bytes:
    """Returns the bytes of frames after one to three changes; `others` lend segments.

    It changes the frames that it is given.
    """
    frames = list(frames)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        frame = rng.choice(frames)
        if isinstance(frame, FullFrame):
            _change_full(frame, others, rng)
        else:
            _change_compact(frame, rng)
    for frame in frames:
        _bound_work(frame)
    if rng.random() < 0.05:
        frames.insert(rng.randrange(len(frames) + 1), rng.choice(list(others)))
    return b"".join(frame.pack() for frame in frames)


def _bound_work(frame: Frame) -> None:
    """Makes sizes that a decoder may believe small enough for a fuzzer."""
    for segment in frame.segments:
        if _MOST_WORK < segment.raw_bytes <= _most_raw_bytes(segment):
            segment.raw_bytes = _MOST_WORK


def _most_raw_bytes(segment: Segment) -> int:
    """The bound on raw bytes in docs/format.md."""
    return (8 * len(segment.payload) + 64) * 7 * (1 << 24) // 2550


def _change_full(frame: FullFrame, others: Sequence[Frame], rng: random.Random) -> None:
    action = rng.random()
    if action < 0.35 or not frame.segments:
        _change_fields(frame, rng)
    elif action < 0.75:
        _change_segment(rng.choice(frame.segments), rng)
    elif action < 0.9:
        _move_segments(frame, others, rng)
    elif action < 0.97:
        frame.totals = tuple(rng.choice((n, near(n, rng))) for n in frame.totals)  # type: ignore[assignment]
        return
    else:
        frame.version = rng.choice((0, 2, 255))
    if rng.random() < 0.9:
        frame.totals = frame.true_totals()


def _move_segments(frame: FullFrame, others: Sequence[Frame], rng: random.Random) -> None:
    segments, at = frame.segments, rng.randrange(len(frame.segments))
    borrowed = [segment for other in others for segment in other.segments if segment.checksum]
    action = rng.randrange(4)
    if action == 0:
        del segments[at]
    elif action == 1:
        segments.insert(at, segments[at])
    elif action == 2:
        rng.shuffle(segments)
    elif borrowed:
        segments.insert(at, rng.choice(borrowed))


def _change_segment(segment: Segment, rng: random.Random) -> None:
    action = rng.random()
    if action < 0.2:
        segment.raw_bytes = near(segment.raw_bytes, rng)
    elif action < 0.35:
        segment.lanes = rng.choice((1, near(segment.lanes or 0, rng), rng.choice(NUMBERS)))
    elif action < 0.45:
        segment.payload_bytes = near(segment.payload_bytes or 0, rng)
    elif action < 0.55:
        _change_method(segment, rng.choice((STORED, CODED, MIXED, ADAPTIVE, 5, 255)))
    elif action < 0.62:
        segment.checksum = rng.randbytes(len(segment.checksum))
    else:
        _change_payload(segment, rng)


def _change_method(segment: Segment, method: int) -> None:
    """A stored segment has no lanes and no size of its payload."""
    segment.method = method
    if method == STORED:
        segment.lanes = segment.payload_bytes = None
        segment.raw_bytes = len(segment.payload)
    else:
        segment.lanes = segment.lanes or 1
        segment.payload_bytes = len(segment.payload)


def _change_payload(segment: Segment, rng: random.Random) -> None:
    payload = segment.payload
    size = rng.choice((0, 1, 4, 8, len(payload), len(payload) // 4 * 4 + 4, 200))
    segment.payload = rng.choice(
        (
            damaged(payload, payload, rng),
            payload[:size] + bytes(max(0, size - len(payload))),
            rng.randbytes(size),
            rng.choice((b"\0", b"\xff")) * size,
            _with_lengths(payload, segment.lanes or 1, rng),
        )
    )
    if segment.payload_bytes is not None:
        segment.payload_bytes = len(segment.payload)
    elif rng.random() < 0.8:
        segment.raw_bytes = len(segment.payload)
        if rng.random() < 0.8 and segment.checksum:
            segment.checksum = checksum(segment.payload)[: len(segment.checksum)]


def _with_lengths(payload: bytes, lanes: int, rng: random.Random) -> bytes:
    """Writes other lengths of lanes before the coder's bytes: those of a model of tokens."""
    count = min(lanes, 40) - 1
    lengths = b"".join(varint(near(10, rng)) for _ in range(count))
    return lengths + payload[count:]


def _change_compact(frame: CompactFrame, rng: random.Random) -> None:
    action = rng.random()
    if action < 0.2:
        frame.flags = rng.choice((frame.flags ^ 1 << rng.randrange(8), rng.randrange(256)))
    elif action < 0.3:
        size = rng.choice((0, 4, 8, len(frame.hashes)))
        frame.hashes = rng.choice((bytes(size), rng.randbytes(size), frame.hashes[:4]))
    else:
        _change_segment(frame.segment, rng)
        if rng.random() < 0.7:
            frame.flags = _true_flags(frame)


def _true_flags(frame: CompactFrame) -> int:
    segment = frame.segment
    if segment.method == STORED:
        frame.hashes, segment.checksum = b"", b""
        return 0x81
    if segment.lanes == 1:
        segment.lanes = None
    frame.hashes = frame.hashes or bytes(4)
    segment.checksum = segment.checksum or checksum(segment.payload)[:4]
    prompt, lanes = len(frame.hashes) > 4, segment.lanes is not None
    return 0x80 | segment.method & 3 | prompt << 2 | lanes << 3 | (frame.flags & 0x70 or 0x10)


def _change_fields(frame: FullFrame, rng: random.Random) -> None:
    fields = dict(frame.fields)
    tag = rng.choice((*_FIELDS, *_FIELDS, 0, 8, 127, 128, 255))
    action = rng.random()
    if action < 0.8:
        make = _FIELDS.get(tag, _unknown)
        fields[tag] = make(fields.get(tag, b""), rng)
    elif action < 0.9:
        fields.pop(tag, None)
    frame.fields = sorted(fields.items())
    if action > 0.93 and frame.fields:
        frame.fields.insert(rng.randrange(len(frame.fields)), rng.choice(frame.fields))


def _name(value: bytes, rng: random.Random) -> bytes:
    return rng.choice((*(name.encode() for name in NAMES), *_NOT_UTF_8))


def _fingerprint(value: bytes, rng: random.Random) -> bytes:
    return rng.choice((bytes(16), rng.randbytes(16), value[:-1], value + b"\0", value[::-1]))


def _number(value: bytes, rng: random.Random) -> bytes:
    return rng.choice((varint(rng.choice(NUMBERS)), varint(rng.randrange(64)), b"", b"\x80\0"))


def _tokenizer(value: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"bytes", b"tokens", b"Bytes", _name(value, rng)))


def _context(value: bytes, rng: random.Random) -> bytes:
    window = rng.choice((1, 2, 8, 24, 32, 64, 2048, rng.choice(NUMBERS)))
    overlap = rng.choice((0, 1, window // 4, max(0, window - 1), window, rng.choice(NUMBERS)))
    return rng.choice((varint(window) + varint(overlap),) * 4 + (varint(window), value + b"\0"))


def _prompt(value: bytes, rng: random.Random) -> bytes:
    hashed = rng.choice((value[:32], bytes(32), rng.randbytes(31)))
    return hashed + _name(value, rng)


def _unknown(value: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 16, 300, 70_000)))


_FIELDS: dict[int, Callable[[bytes, random.Random], bytes]] = {
    **{1: _name, 2: _fingerprint, 3: _number, 4: _tokenizer},
    **{5: _number, 6: _context, 7: _prompt},
}
