"""Header fields and segment headers: what readers take, skip and refuse."""

from __future__ import annotations

import io
import math
import tracemalloc
import zlib
from pathlib import Path
from typing import BinaryIO

import pytest

from lmcompress.errors import CorruptFrameError, UnsupportedVersionError
from lmcompress.format.frame import Method
from lmcompress.format.full import FrameReader, FrameWriter
from lmcompress.format.header import (
    MAGIC,
    MAX_SEGMENT_BYTES,
    FrameHeader,
    FullSegment,
    unpack_fields,
)
from lmcompress.format.wire import MAX_VARINT, encode_varint

HEADER = FrameHeader("tiny-7m", bytes(range(16)), 1, window=1024, overlap=128)


def read_frame(frame: bytes | BinaryIO) -> FrameHeader:
    reader = FrameReader(io.BytesIO(frame) if isinstance(frame, bytes) else frame)
    list(reader)
    return reader.header


def with_crc32(packed: bytes, start: int = 0) -> bytes:
    return packed + zlib.crc32(packed, start).to_bytes(4, "little")


def frame_with_fields(fields: bytes, version: int = 1) -> bytes:
    """A frame without segments, its checksums right, whatever the header fields are."""
    header = with_crc32(MAGIC + bytes([version]) + encode_varint(len(fields)) + fields)
    return header + with_crc32(b"\0\0\0", int.from_bytes(header[-4:], "little"))


def field(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + encode_varint(len(value)) + value


MANDATORY = field(1, b"m") + field(2, bytes(16)) + field(3, b"\x01")


def test_header_of_a_seven_letter_model_takes_at_most_46_bytes():
    assert len(FrameHeader("tiny-7m", bytes(16), 1).pack()) == 40
    assert len(HEADER.pack()) == 46


def test_future_format_version_raises():
    with pytest.raises(UnsupportedVersionError, match=r"format version 2, .* newer lmcompress"):
        read_frame(frame_with_fields(MANDATORY, version=2))


def test_unknown_tag_from_128_on_is_skipped():
    extended = frame_with_fields(MANDATORY + field(128, b"new") + field(255, b""))

    assert read_frame(extended) == read_frame(frame_with_fields(MANDATORY))


@pytest.mark.parametrize("tag", [8, 127])
def test_unknown_tag_below_128_needs_a_newer_version(tag):
    with pytest.raises(UnsupportedVersionError, match=f"field {tag}.* newer lmcompress"):
        read_frame(frame_with_fields(MANDATORY + field(tag, b"")))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b"", id="no fields"),
        pytest.param(field(2, bytes(16)) + field(3, b"\1"), id="no model"),
        pytest.param(field(1, b"m") + field(3, b"\1"), id="no fingerprint"),
        pytest.param(field(1, b"m") + field(2, bytes(16)), id="no arithmetic version"),
        pytest.param(field(1, b"m") + MANDATORY, id="model twice"),
        pytest.param(MANDATORY + field(2, bytes(16)), id="out of order"),
        pytest.param(MANDATORY + field(128, b"") * 2, id="skippable twice"),
        pytest.param(field(0, b"") + MANDATORY[:-1], id="cut short"),
        pytest.param(MANDATORY + b"\x04\x7fab", id="value longer than header"),
        pytest.param(MANDATORY + b"\x04\x81\x00a", id="padded length"),
        pytest.param(field(1, b"") + MANDATORY[3:], id="empty model"),
        pytest.param(field(1, b"\xff") + MANDATORY[3:], id="model not utf-8"),
        pytest.param(field(1, b"m" * 256) + MANDATORY[3:], id="model over 255 bytes"),
        pytest.param(field(1, b"\x1b[2J") + MANDATORY[3:], id="control characters"),
        pytest.param(MANDATORY.replace(bytes(16), bytes(15)), id="short fingerprint"),
        pytest.param(MANDATORY[:-3] + field(3, b"\x01\x01"), id="two arithmetic versions"),
        pytest.param(MANDATORY[:-3] + field(3, b"\x81\x00"), id="padded arithmetic version"),
        pytest.param(MANDATORY[:-3] + field(3, b"\xff" * 9 + b"\1"), id="64-bit version"),
        pytest.param(MANDATORY + field(5, b"\x08"), id="precision 8"),
        pytest.param(MANDATORY + field(5, b"\x21"), id="precision 33"),
        pytest.param(MANDATORY + field(7, bytes(32)), id="prompt without a name"),
        pytest.param(MANDATORY + field(7, bytes(31)), id="short prompt hash"),
        pytest.param(MANDATORY + field(7, b""), id="empty prompt"),
        pytest.param(MANDATORY + field(7, bytes(32) + b"\n"), id="prompt's name not printable"),
        pytest.param(MANDATORY + field(6, b"\x05"), id="no overlap"),
        pytest.param(MANDATORY + field(6, b"\x05\x05"), id="overlap as large as window"),
        pytest.param(MANDATORY + field(6, b"\x00\x01"), id="overlap without window"),
    ],
)
def test_invalid_header_fields_are_corrupt(fields):
    with pytest.raises(CorruptFrameError):
        read_frame(frame_with_fields(fields))


def test_a_prompt_comes_back():
    header = FrameHeader("m", bytes(16), 1, prompt_sha256=bytes(range(32)), prompt_name="records")

    assert unpack_fields(header.pack()[6:-4]) == header


def test_largest_name_is_accepted():
    header = read_frame(frame_with_fields(field(1, b"m" * 255) + MANDATORY[3:]))

    assert header.model == "m" * 255


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": ""},
        {"model": "m" * 256},
        {"model": "\ud800"},
        {"tokenizer": "a\nb"},
        {"fingerprint": bytes(15)},
        {"arithmetic_version": -1},
        {"arithmetic_version": 2**63},
        {"precision_bits": 8},
        {"precision_bits": 33},
        {"window": -1},
        {"overlap": 1},
        {"window": 4, "overlap": 4},
    ],
    ids=str,
)
def test_header_with_invalid_value_cannot_be_made(wrong):
    valid = {"model": "m", "fingerprint": bytes(16), "arithmetic_version": 1}

    with pytest.raises(ValueError, match=r"expected|surrogates"):
        FrameHeader(**(valid | wrong))


def coded_header(raw_bytes: int, lanes: int, payload_bytes: int) -> bytes:
    sizes = b"".join(map(encode_varint, (raw_bytes, lanes, payload_bytes)))
    return chained(b"\x02" + sizes + bytes(4 + 8))


def chained(packed: bytes) -> bytes:
    """Returns a frame's header and first segment header, whose CRC-32 goes on from it."""
    header = HEADER.pack()
    start = int.from_bytes(header[-4:], "little")
    return header + with_crc32(packed, start)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(MAGIC + b"\x01" + encode_varint(MAX_VARINT), id="header"),
        pytest.param(
            chained(b"\x01" + encode_varint(MAX_SEGMENT_BYTES) + bytes(12)),
            id="stored, largest allowed",
        ),
        pytest.param(
            chained(b"\x01" + encode_varint(MAX_VARINT) + bytes(12)),
            id="stored, too large",
        ),
        pytest.param(
            coded_header(MAX_SEGMENT_BYTES, 1, MAX_SEGMENT_BYTES),
            id="coded, largest allowed",
        ),
        pytest.param(coded_header(1000, 1, MAX_VARINT), id="payload too large"),
        pytest.param(coded_header(MAX_SEGMENT_BYTES, 1, 0), id="unjustified"),
    ],
)
def test_forged_giant_sizes_allocate_nothing(tmp_path: Path, forged: bytes):
    path = tmp_path / "forged.lmc"
    path.write_bytes(forged + bytes(1000))
    with path.open("rb") as source:  # a buffered file allocates all that a read asks for
        tracemalloc.start()
        try:
            with pytest.raises(CorruptFrameError):
                read_frame(source)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes < 4 << 20


@pytest.mark.parametrize(
    ("raw_bytes", "lanes", "payload_bytes"),
    [(0, 0, 0), (10, 0, 4), (10, 11, 4), (MAX_SEGMENT_BYTES + 1, 1, MAX_SEGMENT_BYTES)],
)
def test_impossible_segment_is_refused_by_reader_and_writer(raw_bytes, lanes, payload_bytes):
    with pytest.raises(CorruptFrameError, match="header of segment 1 is damaged"):
        read_frame(coded_header(raw_bytes, lanes, payload_bytes))
    with pytest.raises(ValueError, match="expected"):
        FullSegment(Method.CODED, raw_bytes, lanes, payload_bytes, 0, bytes(8))


@pytest.mark.parametrize(
    ("precision_bits", "payload_bytes", "most"),
    # Worked by hand: (8 * payload + 64) * 7 * 2**P // 2550.
    [(24, 0, 2_947_526), (24, 8, 5_895_053), (9, 0, 89), (16, 100, 155_435)],
)
def test_raw_bytes_are_bounded_by_what_the_payload_can_hold(precision_bits, payload_bytes, most):
    header = FrameHeader("m", bytes(16), 1, precision_bits=precision_bits)
    writer = FrameWriter(io.BytesIO(), header)

    writer.write_coded(most, 1, bytes(payload_bytes), bytes(8))
    with pytest.raises(ValueError, match=f"cannot hold {most + 1} raw bytes"):
        writer.write_coded(most + 1, 1, bytes(payload_bytes), bytes(8))


def test_segment_that_its_payload_cannot_hold_is_refused_before_it_is_yielded():
    forged = coded_header(2_947_527, 1, 0)

    with pytest.raises(CorruptFrameError, match="0 payload bytes cannot hold 2947527 raw bytes"):
        read_frame(forged)


@pytest.mark.parametrize("precision_bits", range(9, 33))
def test_bound_allows_the_cheapest_message_there_is(precision_bits):
    symbol_bits = -math.log1p(-255 / 2**precision_bits) / math.log(2)

    for payload_bytes in (0, 4, 1000):
        cheapest = min(int((8 * payload_bytes + 64) / symbol_bits), MAX_SEGMENT_BYTES)
        segment = FullSegment(Method.CODED, cheapest, 1, payload_bytes, 0, bytes(8))
        segment.check_payload(precision_bits)
