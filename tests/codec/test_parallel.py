"""Segments side by side: the same bytes and the same errors as one after the other."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator

import pytest

import lmcompress
from lmcompress.codec.decoder import SegmentDecoder
from lmcompress.codec.parallel import in_order
from lmcompress.codec.stream import decompress_stream
from lmcompress.errors import CorruptFrameError
from lmcompress.format.full import FrameWriter
from lmcompress.format.header import FrameHeader
from lmcompress.format.index import places
from lmcompress.models.store import Model
from tests.support.command_line import TEXT

GIBIBYTE = 1 << 30


def test_results_come_in_order_and_few_items_are_taken_ahead() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    def work(number: int, _progress: object) -> int:
        time.sleep(0.01 * (number % 3))
        return number

    for found, result in enumerate(in_order(work, items(), 3)):
        assert result == found
        assert len(taken) <= found + 3


def test_work_is_done_at_once() -> None:
    barrier = threading.Barrier(2, timeout=30)  # nobody passes alone

    found = list(in_order(lambda item, _: (barrier.wait(), item)[1], iter(range(4)), 2))

    assert found == [0, 1, 2, 3]


def test_an_error_comes_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield from (0, 1)
        raise CorruptFrameError("the third is damaged")

    found = []

    with pytest.raises(CorruptFrameError):
        found.extend(in_order(lambda item, _: item, items(), 4))
    assert found == [0, 1]


def test_threads_stop_when_the_caller_does() -> None:
    def work(number: int, progress: object) -> int:
        while number:
            progress(1)  # type: ignore[operator]
        return number

    results = in_order(work, iter(range(3)), 2)

    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["none", "tiny"])
@pytest.mark.parametrize("size", [100, 250])
def test_threads_change_no_byte_of_several_segments(
    tiny_model: Model, name: str, size: int
) -> None:
    frames = {
        lmcompress.compress(TEXT, name, segment_bytes=size, threads=threads)
        for threads in (1, 2, 5)
    }

    [frame] = frames
    for threads in (1, 2, 5):
        done: list[int] = []
        assert lmcompress.decompress(frame, threads=threads, progress=done.append) == TEXT
        assert sum(done) == len(TEXT)


def test_several_segments_share_a_prompt(tiny_model: Model) -> None:
    prompt = lmcompress.Prompt(TEXT[:200])
    options = {"prompt": prompt, "segment_bytes": 100, "prompt_cache": 0}

    frames = [lmcompress.compress(TEXT, tiny_model, threads=n, **options) for n in (1, 3)]  # type: ignore[arg-type]

    assert frames[0] == frames[1]
    assert lmcompress.decompress(frames[0], prompt=prompt, threads=3) == TEXT


def test_what_is_before_the_damage_is_written(tiny_model: Model) -> None:
    frame = bytearray(lmcompress.compress(TEXT, tiny_model, segment_bytes=100))
    frame[list(places(io.BytesIO(frame)))[3].offset] ^= 1
    sink = io.BytesIO()

    with pytest.raises(CorruptFrameError):
        decompress_stream(io.BytesIO(frame), sink, lmcompress.CodecConfig(threads=4))

    assert sink.getvalue() == TEXT[:300]


def test_the_memory_limit_bounds_how_many_are_decoded_at_once(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, segment_bytes=100)

    def at_once(limit: int) -> int:
        config = lmcompress.CodecConfig(threads=4, memory_limit=limit)
        return SegmentDecoder(config).most_at_once(io.BytesIO(frame))

    assert at_once(GIBIBYTE) == 4
    assert at_once(GIBIBYTE // 16) == 2
    assert at_once(1) == 1


def test_the_memory_limit_holds_for_large_segments_behind_small_ones() -> None:
    sink = io.BytesIO()
    writer = FrameWriter(sink, FrameHeader("none", bytes(16), 1))
    for raw_bytes in (1000, 1000, 1 << 28, 1 << 28):
        writer.write_coded(raw_bytes, 1, bytes(1000), bytes(8))
    writer.finish()
    sink.seek(0)
    config = lmcompress.CodecConfig(threads=4, memory_limit=2 * GIBIBYTE)

    assert SegmentDecoder(config).most_at_once(sink) == 1
    assert sink.tell() == 0


def test_frames_of_several_models_are_decoded_one_at_a_time(tiny_model: Model) -> None:
    frames = [lmcompress.compress(TEXT, model) for model in (tiny_model, "none")]

    found = [
        SegmentDecoder(lmcompress.CodecConfig(threads=2)).most_at_once(io.BytesIO(data))
        for data in (frames[0] * 2, b"".join(frames))
    ]

    assert found == [2, 1]
