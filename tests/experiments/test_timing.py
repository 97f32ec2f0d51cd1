"""A text that was timed has come back."""

from __future__ import annotations

import itertools

import pytest

import lmcompress
from experiments.support.timing import round_trip
from lmcompress import CodecConfig
from lmcompress.errors import LmcompressError
from lmcompress.models.store import load_model

TEXT = b"to be or not to be, that is the question"


def test_both_ways_are_timed_by_the_clock_that_is_given() -> None:
    clock = map(float, itertools.accumulate((0, 1, 10)))

    found = round_trip(TEXT, load_model("none"), clock=clock.__next__)

    assert (found.compress_seconds, found.decompress_seconds) == (1, 10)
    assert lmcompress.decompress(found.compressed) == TEXT
    assert found.num_bytes == len(found.compressed)


def test_the_settings_are_those_of_the_file() -> None:
    model = load_model("none")
    plain, compact = (round_trip(TEXT, model, CodecConfig(compact=flag)) for flag in (False, True))

    assert compact.num_bytes < plain.num_bytes


def test_a_file_that_does_not_come_back_has_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcompress.decompress", lambda *_: b"something else")

    with pytest.raises(LmcompressError, match="none did not give the text back"):
        round_trip(TEXT, load_model("none"))
