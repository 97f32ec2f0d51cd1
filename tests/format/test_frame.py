"""The `.lmc` frame: its bytes do not drift, and damage never passes for content."""

from __future__ import annotations

import io
import itertools
import os
import threading
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcompress.errors import (
    CorruptFrameError,
    LmcompressError,
    TruncatedFrameError,
    UnsupportedVersionError,
)
from lmcompress.format.file import read_frames
from lmcompress.format.frame import Method, check_raw, raw_checksum
from lmcompress.format.full import FrameReader, FrameWriter
from lmcompress.format.header import FrameHeader, FrameTotals, FullSegment
from lmcompress.format.wire import MAX_VARINT

HEADER = FrameHeader("tiny-7m", bytes(range(16)), 1, window=1024, overlap=128)
CODED_RAW = b"z" * 300

# Written out in docs/format.md, line by line.
GOLDEN = bytes.fromhex(
    "894c4d43 01 24"
    "01 07 74696e792d376d"
    "02 10 000102030405060708090a0b0c0d0e0f"
    "03 01 01"
    "06 04 8008 8001"
    "1c22ea8a"
    "01 03 c2412435 d8bb14d833d59559 f8b2ab71 616263"
    "02 ac02 02 04 cdfb3cb6 92920681f95ec7f0 db63e6c3 01020304"
    "00 af02 02 6e4ad59e"
)

Content = list[tuple[FrameHeader, list[tuple[FullSegment, bytes]], FrameTotals]]


def golden_frame() -> bytes:
    sink = io.BytesIO()
    writer = FrameWriter(sink, HEADER)
    writer.write_stored(b"abc")
    writer.write_coded(len(CODED_RAW), 2, b"\x01\x02\x03\x04", raw_checksum(CODED_RAW))
    writer.finish()
    assert writer.bytes_written == len(sink.getvalue())
    return sink.getvalue()


def read_all(source: io.RawIOBase | io.BufferedIOBase | bytes, **options: bool) -> Content:
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    return [(r.header, list(r), r.totals) for r in read_frames(source, **options)]


class OneByteSource(io.RawIOBase):
    """A pipe at its slowest: cannot seek, and gives one byte per read."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        return self._data.readinto(memoryview(buffer)[:1])


def test_frame_bytes_are_those_of_the_format_document():
    assert golden_frame() == GOLDEN


def test_golden_frame_reads_back():
    ((header, segments, totals),) = read_all(GOLDEN)

    assert header == HEADER
    assert [(s.method, s.raw_bytes, s.lanes, s.payload_bytes) for s, _ in segments] == [
        (Method.STORED, 3, 0, 3),
        (Method.CODED, 300, 2, 4),
    ]
    assert [payload for _, payload in segments] == [b"abc", b"\x01\x02\x03\x04"]
    assert totals == FrameTotals(raw_bytes=303, num_segments=2)


def test_frame_without_segments_reads_back():
    sink = io.BytesIO()
    FrameWriter(sink, HEADER).finish()

    assert read_all(sink.getvalue()) == [(HEADER, [], FrameTotals(0, 0))]


@pytest.mark.parametrize(
    ("method", "error"), [(5, UnsupportedVersionError), (127, UnsupportedVersionError),
                          (128, CorruptFrameError)],
)  # fmt: skip
def test_a_method_of_a_later_version_is_told_from_damage(method: int, error: type) -> None:
    sink = io.BytesIO()
    FrameWriter(sink, HEADER)
    begin = len(sink.getvalue())
    fields = bytes([method]) + b"\x03\x01\x04" + bytes(12)
    chain = zlib.crc32(fields, int.from_bytes(sink.getvalue()[-4:], "little"))
    whole = sink.getvalue() + fields + chain.to_bytes(4, "little") + bytes(4)

    with pytest.raises(error, match=f"has method {method}"):
        read_all(whole)
    if error is UnsupportedVersionError:
        with pytest.raises(CorruptFrameError):
            read_all(whole[: begin + 3] + b"\x05" + whole[begin + 4 :])


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60
)  # at most 240 bytes


@st.composite
def headers(draw: st.DrawFn) -> FrameHeader:
    window = draw(st.integers(0, MAX_VARINT))
    return FrameHeader(
        model=draw(NAMES),
        fingerprint=draw(st.binary(min_size=16, max_size=16)),
        arithmetic_version=draw(st.integers(0, MAX_VARINT)),
        tokenizer=draw(st.just("bytes") | NAMES),
        precision_bits=draw(st.integers(9, 32)),
        window=window,
        overlap=draw(st.integers(0, max(window - 1, 0))),
    )


# (raw, payload or None if stored, lanes); 64 raw bytes are justified by any payload at P >= 9.
SEGMENTS = st.lists(
    st.tuples(st.binary(min_size=1, max_size=64), st.none() | st.binary(), st.integers(1, 64))
)


@given(header=headers(), segments=SEGMENTS)
def test_round_trip(header, segments):
    sink = io.BytesIO()
    writer = FrameWriter(sink, header)
    for raw, payload, lanes in segments:
        if payload is None:
            writer.write_stored(raw)
        else:
            writer.write_coded(len(raw), min(lanes, len(raw)), payload, raw_checksum(raw))
    writer.finish()

    ((found, read, totals),) = read_all(sink.getvalue())

    assert found == header
    assert [p for _, p in read] == [raw if p is None else p for raw, p, _ in segments]
    for (segment, _), (raw, payload, lanes) in zip(read, segments, strict=True):
        check_raw(segment, raw)
        assert segment.method is (Method.STORED if payload is None else Method.CODED)
        assert segment.lanes == (0 if payload is None else min(lanes, len(raw)))
    assert totals == FrameTotals(sum(len(raw) for raw, _, _ in segments), len(segments))


def test_every_change_of_one_byte_raises():
    for position, byte in enumerate(GOLDEN):
        for other in set(range(256)) - {byte}:
            damaged = GOLDEN[:position] + bytes([other]) + GOLDEN[position + 1 :]
            with pytest.raises(LmcompressError):
                read_all(damaged)


def test_every_truncation_raises():
    for size in range(len(GOLDEN)):
        with pytest.raises(TruncatedFrameError):
            read_all(GOLDEN[:size])
        with pytest.raises(TruncatedFrameError):
            read_all(GOLDEN[:size], skip_payloads=True)


def test_every_lost_and_every_doubled_byte_raises():
    for position in range(len(GOLDEN)):
        with pytest.raises(LmcompressError):
            read_all(GOLDEN[:position] + GOLDEN[position + 1 :])
        with pytest.raises(LmcompressError):
            read_all(GOLDEN[:position] + GOLDEN[position:][:1] + GOLDEN[position:])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise(data):
    with pytest.raises(LmcompressError):
        read_all(data)
    with pytest.raises(LmcompressError):
        read_all(HEADER.pack() + data)


def test_payload_damage_is_found_before_the_payload_is_yielded():
    damaged = GOLDEN.replace(b"abc", b"abd")
    reader = FrameReader(io.BytesIO(damaged))

    with pytest.raises(CorruptFrameError, match="payload of segment 1 is damaged"):
        next(reader)


def test_lost_segment_raises():
    start, end = GOLDEN.index(b"\x01\x03\xc2"), GOLDEN.index(b"\x02\xac\x02")

    with pytest.raises(CorruptFrameError, match="header of segment 1 is damaged"):
        read_all(GOLDEN[:start] + GOLDEN[end:])


def test_other_file_is_named_as_not_lmc():
    with pytest.raises(CorruptFrameError, match=r"not an \.lmc file: starts with 1f8b0800, exp"):
        read_all(b"\x1f\x8b\x08\x00 and so on")


def test_wrong_raw_bytes_are_not_accepted():
    segment = FullSegment(Method.CODED, 3, 1, 2, 0, raw_checksum(b"abc"))

    check_raw(segment, b"abc")
    for wrong in (b"abd", b"ab", b"abcd", b""):
        with pytest.raises(CorruptFrameError, match="decoded bytes do not match"):
            check_raw(segment, wrong)


def test_frames_one_after_another_are_all_read():
    other = io.BytesIO()
    FrameWriter(other, FrameHeader("other", bytes(16), 2)).finish()

    contents = read_all(GOLDEN + other.getvalue() + GOLDEN)

    assert [header.model for header, _, _ in contents] == ["tiny-7m", "other", "tiny-7m"]
    assert contents[2] == contents[0] == read_all(GOLDEN)[0]


@pytest.mark.parametrize("garbage", [b"\0", b"\n", bytes(512), b"\x88", b"PK\x03\x04"])
def test_trailing_bytes_raise(garbage):
    with pytest.raises(CorruptFrameError, match=f"after a frame, byte {len(GOLDEN)} on"):
        read_all(GOLDEN + garbage)


def test_empty_source_raises():
    with pytest.raises(TruncatedFrameError, match="found 0 bytes"):
        read_all(b"")


def test_next_frame_is_refused_before_the_last_is_exhausted():
    frames = read_frames(io.BytesIO(GOLDEN + GOLDEN))
    next(next(frames))

    with pytest.raises(ValueError, match="all segments"):
        next(frames)


def test_totals_wait_for_the_end_marker():
    reader = FrameReader(io.BytesIO(GOLDEN))

    with pytest.raises(ValueError, match="all segments"):
        _ = reader.totals


@pytest.mark.parametrize("skip_payloads", [False, True])
def test_source_of_single_bytes_reads_the_same(skip_payloads):
    expected = read_all(GOLDEN * 2, skip_payloads=skip_payloads)

    assert read_all(OneByteSource(GOLDEN * 2), skip_payloads=skip_payloads) == expected


def test_payload_of_several_pieces_reads_back(tmp_path):
    raw = os.urandom(1000) * 2500  # 2.5 MB, more than two reads
    path = tmp_path / "large.lmc"
    with path.open("wb") as sink:
        writer = FrameWriter(sink, HEADER)
        writer.write_stored(raw)
        writer.write_stored(b"end")
        writer.finish()

    with path.open("rb", buffering=0) as source:
        ((_, segments, _),) = read_all(source)
    with path.open("rb") as source:
        ((_, skipped, totals),) = read_all(source, skip_payloads=True)

    assert [payload for _, payload in segments] == [raw, b"end"]
    assert skipped == [(segment, b"") for segment, _ in segments]
    assert totals.raw_bytes == len(raw) + 3


def test_frame_goes_through_a_pipe():
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb", buffering=0) as sink:
            writer = FrameWriter(sink, HEADER)
            writer.write_stored(bytes(300_000))  # more than a pipe holds
            writer.finish()

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(read_end, "rb", buffering=0) as source:
        ((_, ((_, payload),), _),) = read_all(source)
    thread.join()

    assert payload == bytes(300_000)


def test_finished_frame_takes_no_more():
    writer = FrameWriter(io.BytesIO(), HEADER)
    writer.finish()

    with pytest.raises(ValueError, match="finished"):
        writer.write_stored(b"abc")
    with pytest.raises(ValueError, match="finished"):
        writer.finish()


def test_segments_cannot_be_swapped_or_moved_to_another_frame():
    parts = []
    for raws in ((b"abc", b"def"), (b"abc", b"ghi")):
        sink = io.BytesIO()
        writer = FrameWriter(sink, HEADER)
        cuts = [writer.bytes_written]
        for raw in raws:
            writer.write_stored(raw)
            cuts.append(writer.bytes_written)
        writer.finish()
        frame = sink.getvalue()
        bounds = [0, *cuts, len(frame)]
        parts.append([frame[a:b] for a, b in itertools.pairwise(bounds)])
    (head, first, second, end), (_, _, other, other_end) = parts

    assert read_all(head + first + second + end)
    for forged in (head + second + first + end, head + first + other + end, head + first + end):
        with pytest.raises(CorruptFrameError):
            read_all(forged)
    with pytest.raises(CorruptFrameError):
        read_all(head + first + second + other_end)
