"""PNG and FLAC give back any bytes, and are better at what they were made for."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lmcompress.benchmark.media import PNG_COLUMNS, media_codecs
from lmcompress.benchmark.protocol import Codec
from lmcompress.errors import CorruptFrameError, MissingDependencyError

CODECS = {codec.name: codec for codec in media_codecs()}
LENGTHS = (1, 15, 16, PNG_COLUMNS - 1, PNG_COLUMNS, PNG_COLUMNS + 1, 2048, 4095, 4097)


@pytest.fixture(params=CODECS.values(), ids=CODECS.keys())
def codec(request: pytest.FixtureRequest) -> Codec:
    return request.param  # type: ignore[no-any-return]


def test_awkward_inputs_come_back(codec: Codec, awkward_input: bytes) -> None:
    assert codec.decompress(codec.compress(awkward_input)) == awkward_input


@pytest.mark.parametrize("length", LENGTHS)
def test_any_length_comes_back(codec: Codec, length: int) -> None:
    raw = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()

    assert codec.decompress(codec.compress(raw)) == raw


@pytest.mark.parametrize("raw", [b"abc\0\0\0", b"\0", b"\xff" * 70_000], ids=["tail", "nul", "ff"])
def test_bytes_at_the_end_come_back(codec: Codec, raw: bytes) -> None:
    assert codec.decompress(codec.compress(raw)) == raw


def test_output_is_the_same_each_time(codec: Codec) -> None:
    assert codec.compress(b"abc" * 900) == codec.compress(b"abc" * 900)


def test_codec_names_its_version_and_has_no_model(codec: Codec) -> None:
    assert codec.version
    assert (codec.model_bytes, codec.num_parameters, codec.fingerprint) == (0, 0, "")


def test_flac_takes_bytes_for_samples() -> None:
    tone = (128 + 100 * np.sin(np.arange(20_000) / 30)).astype(np.uint8).tobytes()

    assert len(CODECS["flac-8"].compress(tone)) < len(tone) / 4


def test_png_takes_bytes_for_rows_of_a_patch() -> None:
    columns = np.random.default_rng(0).integers(0, 256, PNG_COLUMNS, np.uint8)
    rows = columns + np.arange(500, dtype=np.uint8)[:, None]  # each row is the one above, plus 1

    assert len(CODECS["png-9"].compress(rows.tobytes())) < rows.size / 50


def test_what_is_no_flac_raises() -> None:
    with pytest.raises(CorruptFrameError, match="FLAC data cannot be read"):
        CODECS["flac-8"].decompress(b"not a FLAC file")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'lmcompress\[paper\]'"):
        media_codecs()
