"""A compression that was stopped goes on at its last whole segment, to the same bytes."""

from __future__ import annotations

import io

import pytest

import lmcompress
from lmcompress import CodecConfig, LmcompressError, Prompt
from lmcompress.codec.resume import resume_key, resume_stream
from lmcompress.models.store import Model
from tests.support.command_line import TEXT

CONFIG = CodecConfig(segment_bytes=100)


def test_from_any_point_on_the_result_is_that_of_an_unbroken_run(tiny_model: Model) -> None:
    whole = lmcompress.compress(TEXT, tiny_model, CONFIG)
    for stop in range(0, len(whole) + 1, 11):
        unfinished = io.BytesIO()
        unfinished.write(whole[:stop])

        sizes = resume_stream(io.BytesIO(TEXT), unfinished, tiny_model, CONFIG)

        assert unfinished.getvalue() == whole
        assert (sizes.raw_bytes, sizes.compressed_bytes) == (len(TEXT), len(whole))


def test_what_a_crash_of_the_machine_tore_is_cut_off(tiny_model: Model) -> None:
    whole = lmcompress.compress(TEXT, tiny_model, CONFIG)
    unfinished = io.BytesIO()
    unfinished.write(whole[:200] + bytes(300))

    resume_stream(io.BytesIO(TEXT), unfinished, tiny_model, CONFIG)

    assert unfinished.getvalue() == whole


def test_finished_segments_are_not_compressed_again(tiny_model: Model) -> None:
    whole = lmcompress.compress(TEXT, tiny_model, CONFIG)
    unfinished, done = io.BytesIO(), []
    unfinished.write(whole[:-20])

    resume_stream(io.BytesIO(TEXT), unfinished, tiny_model, CONFIG, done.append)

    assert done[0] == len(TEXT) // 100 * 100
    assert sum(done) == len(TEXT)


def test_another_input_is_refused_and_nothing_is_lost(tiny_model: Model) -> None:
    begun = lmcompress.compress(TEXT, tiny_model, CONFIG)[:-20]
    unfinished = io.BytesIO()
    unfinished.write(begun)

    with pytest.raises(LmcompressError, match="another input"):
        resume_stream(io.BytesIO(b"x" + TEXT), unfinished, tiny_model, CONFIG)

    assert unfinished.getvalue() == begun


def test_the_key_changes_with_whatever_changes_the_bytes(tiny_model: Model) -> None:
    def key(raw: bytes = TEXT, model: Model = tiny_model, **options: object) -> str:
        source = io.BytesIO(raw)
        found = resume_key(source, model, CodecConfig(**options))  # type: ignore[arg-type]
        assert source.tell() == 0
        return found

    others = [
        key(TEXT + b"x"),
        key(model=lmcompress.load_model("none")),
        key(lanes=3),
        key(segment_bytes=100),
        key(adaptive=False),
        key(prompt=Prompt(b"a text")),
    ]

    assert len({key(), *others}) == 1 + len(others)
    assert key(threads=1) == key(threads=2) == key(memory_limit=1 << 32) == key()
