"""What is whole in a damaged file comes back, what is missing is named, no byte is wrong."""

from __future__ import annotations

import io
import random

import pytest

import lmcompress
from lmcompress.codec.salvage import Salvaged, salvage_stream
from lmcompress.errors import ModelNotFoundError
from lmcompress.format.full import FrameWriter
from lmcompress.format.header import FrameHeader, Method
from lmcompress.format.index import Place, places
from lmcompress.format.salvage import Gap, survey
from lmcompress.format.wire import encode_varint

RAW = bytes(random.Random(1).choices(b"abcdefgh ", k=5000))
SIZE = 1000


@pytest.fixture(scope="module")
def frame() -> bytes:
    return lmcompress.compress(RAW, "none", segment_bytes=SIZE)


@pytest.fixture(scope="module")
def segments(frame: bytes) -> list[Place]:
    return list(places(io.BytesIO(frame)))


def salvage(data: bytes) -> tuple[bytes, list[tuple[int, int | None]]]:
    sink = io.BytesIO()
    found: Salvaged = salvage_stream(io.BytesIO(data), sink)
    assert found.raw_bytes == len(sink.getvalue())
    return sink.getvalue(), [(gap.raw_start, gap.raw_end) for gap in found.gaps]


def flipped(data: bytes, *offsets: int) -> bytes:
    damaged = bytearray(data)
    for offset in offsets:
        damaged[offset] ^= 8
    return bytes(damaged)


def without(*numbers: int) -> bytes:
    return b"".join(RAW[n * SIZE : (n + 1) * SIZE] for n in range(5) if n not in numbers)


def test_a_whole_file_comes_back(frame: bytes) -> None:
    assert salvage(frame) == (RAW, [])


@pytest.mark.parametrize("number", range(5))
def test_a_damaged_payload_costs_its_segment(
    frame: bytes, segments: list[Place], number: int
) -> None:
    damaged = flipped(frame, segments[number].offset + 7)

    assert salvage(damaged) == (without(number), [(number * SIZE, (number + 1) * SIZE)])


@pytest.mark.parametrize(("number", "back"), [(back % 4, back) for back in range(1, 23)])
def test_a_damaged_header_costs_its_segment(
    frame: bytes, segments: list[Place], number: int, back: int
) -> None:
    damaged = flipped(frame, segments[number].offset - back)

    assert salvage(damaged) == (without(number), [(number * SIZE, (number + 1) * SIZE)])


@pytest.mark.parametrize("method", list(Method), ids=lambda method: method.name.lower())
def test_segments_of_every_method_are_found_behind_the_damage(method: Method) -> None:
    sink = io.BytesIO()
    writer = FrameWriter(sink, FrameHeader("none", bytes(16), 1))
    for _ in range(3):
        if method is Method.STORED:
            writer.write_stored(RAW[:SIZE])
        else:
            writer.write_coded(SIZE, 1, bytes(SIZE), bytes(8), method)
    writer.finish()
    second = list(places(io.BytesIO(sink.getvalue())))[1]

    found = survey(io.BytesIO(flipped(sink.getvalue(), second.offset - 5)))

    assert [isinstance(part, Place) for part in found] == [True, False, True]


def test_neighbours_are_one_gap(frame: bytes, segments: list[Place]) -> None:
    damaged = flipped(frame, segments[1].offset, segments[2].offset)

    assert salvage(damaged) == (without(1, 2), [(1000, 3000)])


def test_a_file_that_was_cut_short_gives_what_is_there(frame: bytes, segments: list[Place]) -> None:
    assert salvage(frame[: segments[3].offset + 10]) == (without(3, 4), [(3000, None)])
    assert salvage(frame[:-3]) == (RAW, [(5000, None)])


def test_a_damaged_frame_is_followed_by_the_next(frame: bytes) -> None:
    assert salvage(flipped(frame, 6) + frame) == (RAW, [(0, None)])
    compact = lmcompress.compress(RAW, "none", compact=True)
    assert salvage(flipped(compact, 50) + frame) == (RAW, [(0, None)])


def test_a_frame_without_its_header_is_read_with_that_of_the_frame_before(frame: bytes) -> None:
    assert salvage(frame + flipped(frame, 6)) == (RAW * 2, [(5000, 5000)])
    damaged = flipped(frame, 6, next(places(io.BytesIO(frame))).offset - 1)
    assert salvage(frame + damaged + frame) == (RAW + without(0) + RAW, [(5000, 6000)])

    another = lmcompress.compress(
        RAW, "none", prompt=lmcompress.Prompt(b"more" * 9), segment_bytes=SIZE
    )
    assert salvage(frame + flipped(another, 6)) == (RAW, [(5000, 10_000)])


class CountingFile(io.BytesIO):
    """Counts what is read from it."""

    count = bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.count += 1
        self.bytes_read += len(found)
        return found


@pytest.mark.parametrize("segment_bytes", [None, 50])
def test_the_work_grows_with_the_file_and_not_with_its_square(segment_bytes: int | None) -> None:
    """Damage near both ends, and between them headers that are whole."""
    reads = []
    for count in (20, 80):
        if segment_bytes is None:
            frames = lmcompress.compress(RAW[:50], "none") * count
        else:
            frames = lmcompress.compress(RAW[:50] * count, "none", segment_bytes=segment_bytes)
        found = list(places(io.BytesIO(frames)))
        source = CountingFile(flipped(frames, found[1].offset - 5, found[-1].offset - 5))
        survey(source)
        reads.append(source.count)

    assert reads[1] < 6 * reads[0]


def test_frames_that_only_claim_to_be_long_are_not_read_again_and_again(frame: bytes) -> None:
    claim = b"\x89LMc\x81" + encode_varint(1 << 20)  # a compact frame of a stored megabyte
    damaged = flipped(frame, 6) + claim * 200_000

    source = CountingFile(damaged)
    [gap] = survey(source)

    assert isinstance(gap, Gap)
    assert source.bytes_read < 20 * len(damaged)


def test_a_file_inside_a_stored_segment_is_not_taken_for_the_file() -> None:
    noise = random.Random(2).randbytes(3000)
    inner = lmcompress.compress(noise, "none", segment_bytes=SIZE)
    outer = lmcompress.compress(inner + noise, "none")
    [stored] = places(io.BytesIO(outer))

    for back in range(1, 23):
        assert salvage(flipped(outer, stored.offset - back))[0] == b""


def test_damage_anywhere_hands_out_no_wrong_byte(frame: bytes) -> None:
    rng, whole = random.Random(3), {RAW[n * SIZE : (n + 1) * SIZE] for n in range(5)}
    for _ in range(30):
        damaged = flipped(frame, *(rng.randrange(len(frame)) for _ in range(rng.choice([1, 2, 9]))))
        raw, gaps = salvage(damaged)
        assert len(raw) % SIZE == 0
        assert {raw[start : start + SIZE] for start in range(0, len(raw), SIZE)} <= whole
        assert raw == RAW or gaps


def test_a_missing_model_is_not_damage() -> None:
    sink = io.BytesIO()
    writer = FrameWriter(sink, FrameHeader("unknown", bytes(range(16)), 1))
    writer.write_coded(4, 1, bytes(4), bytes(8))
    writer.finish()

    with pytest.raises(ModelNotFoundError, match="unknown"):
        salvage(sink.getvalue())
