"""Compressors and decompressors that take data in pieces, as those of lzma do."""

from __future__ import annotations

import random

import pytest

import lmcompress
from lmcompress import LmcCompressor, LmcDecompressor
from lmcompress.errors import CorruptFrameError
from lmcompress.models.store import Model
from tests.support.command_line import TEXT

FRAMES = [{"segment_bytes": 100}, {"segment_bytes": 10_000}, {"compact": True}]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("options", FRAMES)
@pytest.mark.parametrize("size", [1, 37, 100_000])
def test_pieces_change_nothing(tiny_model: Model, options: dict[str, int], size: int) -> None:
    compressor = LmcCompressor(tiny_model, **options)  # type: ignore[arg-type]

    found = b"".join(map(compressor.compress, pieces(TEXT, size))) + compressor.flush()

    assert found == lmcompress.compress(TEXT, tiny_model, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finished"):
        compressor.compress(b"more")


@pytest.mark.parametrize("options", FRAMES)
@pytest.mark.parametrize("size", [1, 37, 100_000])
@pytest.mark.parametrize("most", [-1, 7])
def test_pieces_decompress(
    tiny_model: Model, options: dict[str, int], size: int, most: int
) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, **options)  # type: ignore[arg-type]
    decompressor, found = LmcDecompressor(), []
    waiting = pieces(frame + b"rest", size)

    while not decompressor.eof:
        assert decompressor.unused_data == b""
        data = waiting.pop(0) if decompressor.needs_input else b""
        found.append(decompressor.decompress(data, max_length=most))

    assert b"".join(found) == TEXT
    assert decompressor.unused_data + b"".join(waiting) == b"rest"
    assert most < 0 or max(map(len, found)) <= most
    assert not decompressor.needs_input
    with pytest.raises(EOFError):
        decompressor.decompress(b"more")


def test_a_compressor_that_failed_takes_the_bytes_no_second_time(tiny_model: Model) -> None:
    counts: list[int] = []

    def fail_once(count: int) -> None:
        counts.append(count)
        if len(counts) == 1:
            raise MemoryError

    compressor = LmcCompressor(tiny_model, segment_bytes=100, progress=fail_once)
    for _ in range(2):
        with pytest.raises(MemoryError):
            compressor.compress(TEXT[:100])
    with pytest.raises(MemoryError):
        compressor.flush()


def test_a_segment_is_handed_out_as_soon_as_it_is_there(tiny_model: Model) -> None:
    compressor = LmcCompressor(tiny_model, segment_bytes=100)
    decompressor = LmcDecompressor()

    assert decompressor.decompress(compressor.compress(TEXT[:150])) == TEXT[:100]
    assert decompressor.needs_input


def test_after_damage_nothing_more_is_handed_out(tiny_model: Model) -> None:
    frame = bytearray(lmcompress.compress(TEXT, tiny_model, segment_bytes=100))
    frame[len(frame) // 2] ^= 1
    decompressor, found, errors = LmcDecompressor(), b"", 0

    for piece in pieces(bytes(frame), 10):
        try:
            found += decompressor.decompress(piece)
        except CorruptFrameError:
            errors += 1

    assert found
    assert TEXT.startswith(found)
    assert errors > 1
    assert not decompressor.eof


def test_a_frame_that_was_cut_short_does_not_end() -> None:
    frame = lmcompress.compress(random.Random(0).randbytes(100), "none")
    decompressor = LmcDecompressor()

    decompressor.decompress(frame[:-1])

    assert not decompressor.eof
    assert decompressor.needs_input


def test_an_empty_frame_ends_at_once() -> None:
    for options in ({}, {"compact": True}):
        decompressor = LmcDecompressor()
        assert decompressor.decompress(lmcompress.compress(b"", "none", **options)) == b""  # type: ignore[arg-type]
        assert decompressor.eof
