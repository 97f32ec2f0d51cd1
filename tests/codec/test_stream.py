"""Round trips and damage, on a small model."""

from __future__ import annotations

import io

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig
from lmcompress.codec.predictor import ContextPolicy
from lmcompress.codec.requirements import frame_header
from lmcompress.codec.stream import compress_stream, decompress_stream
from lmcompress.errors import CorruptFrameError
from lmcompress.format.frame import Method, raw_checksum
from lmcompress.format.full import FrameReader, FrameWriter
from lmcompress.models.store import Model
from tests.support.damage import assert_damage_is_found

TEXT = b"It was the best of times,\r\nit was the worst of times. " * 9


@pytest.mark.parametrize("adaptive", [False, True], ids=["direct", "adaptive"])
@pytest.mark.parametrize("lanes", ["auto", 1, 3, 64])
def test_awkward_inputs_come_back(
    tiny_model: Model, awkward_input: bytes, lanes: object, adaptive: bool
) -> None:
    config = CodecConfig(lanes=lanes, adaptive=adaptive)  # type: ignore[arg-type]
    raw = awkward_input[:3000]

    frame = lmcompress.compress(raw, tiny_model, config)

    assert lmcompress.decompress(frame) == raw
    assert len(frame) <= len(raw) + 100


def test_threads_and_blocks_change_no_bit(tiny_model: Model) -> None:
    frames = {
        lmcompress.compress(TEXT, tiny_model, CodecConfig(lanes=4, threads=threads, device=device))
        for threads in (1, 2)
        for device in ("cpu", "reference")
    }

    assert len(frames) == 1
    for threads in (1, 2):
        for device in ("cpu", "reference"):
            config = CodecConfig(threads=threads, device=device)
            assert lmcompress.decompress(next(iter(frames)), config=config) == TEXT


def test_segments_decode_alone(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, CodecConfig(segment_bytes=100))
    reader = FrameReader(io.BytesIO(frame))

    segments = [segment for segment, _ in reader]

    assert all(segment.method is not Method.STORED for segment in segments)
    assert [s.raw_bytes for s in segments] == [100, 100, 100, 100, len(TEXT) - 400]
    assert lmcompress.decompress(frame) == TEXT


def test_frames_may_be_joined(tiny_model: Model) -> None:
    frames = [lmcompress.compress(part, tiny_model) for part in (TEXT, b"", b"end")]

    assert lmcompress.decompress(b"".join(frames)) == TEXT + b"end"


def test_incompressible_bytes_are_stored(tiny_model: Model) -> None:
    raw = bytes(np.random.default_rng(0).integers(0, 256, 2000, np.uint8))

    frame = lmcompress.compress(raw, tiny_model)

    [(segment, _)] = list(FrameReader(io.BytesIO(frame)))
    assert segment.method is Method.STORED
    assert len(frame) - len(raw) < 100


def test_sources_that_give_a_few_bytes_at_a_time_work(tiny_model: Model) -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size, 3) if size and size > 0 else 3)

    sink, out = io.BytesIO(), io.BytesIO()
    compress_stream(Trickle(TEXT), sink, tiny_model, CodecConfig(segment_bytes=128))
    decompress_stream(Trickle(sink.getvalue()), out)

    assert out.getvalue() == TEXT


class Slow(io.RawIOBase):
    """Takes three bytes at a time; a source that has none yet gives None."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)[:3]  # type: ignore[call-overload]
        self.taken += piece
        return len(piece)

    def read(self, _size: int = -1) -> None:
        return None


def test_outputs_that_take_a_few_bytes_at_a_time_lose_none(tiny_model: Model) -> None:
    sink = Slow()

    decompress_stream(io.BytesIO(lmcompress.compress(TEXT, tiny_model)), sink)  # type: ignore[arg-type]

    assert sink.taken == TEXT


def test_an_input_without_bytes_yet_has_not_ended(tiny_model: Model) -> None:
    with pytest.raises(BlockingIOError, match="no bytes yet"):
        compress_stream(Slow(), io.BytesIO(), tiny_model, CodecConfig())  # type: ignore[arg-type]


def test_every_flipped_byte_and_every_truncation_is_found(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT[:160], tiny_model, CodecConfig(segment_bytes=90, lanes=2))

    assert_damage_is_found(frame)


def test_a_wrong_payload_with_right_checksum_gives_no_wrong_bytes(tiny_model: Model) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        sink = io.BytesIO()
        writer = FrameWriter(sink, frame_header(tiny_model, ContextPolicy()))
        payload = bytes(rng.integers(0, 256, 4 * int(rng.integers(0, 9)), np.uint8))
        writer.write_coded(len(TEXT), 3, payload, raw_checksum(TEXT))
        writer.finish()
        with pytest.raises(CorruptFrameError):
            lmcompress.decompress(sink.getvalue())
