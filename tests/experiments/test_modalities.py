"""The paper's modalities are the same bytes everywhere, and all of their bits."""

from __future__ import annotations

import io
import os
import re
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.support import modalities
from lmcompress import corpora
from lmcompress.errors import CorpusError, MissingDependencyError

needs_corpora = pytest.mark.skipif(
    not os.environ.get("LMCOMPRESS_DATA"), reason="needs the folder LMCOMPRESS_DATA"
)
SHA256 = {
    "text": "0085c3c4200fcbcc7d8e45d4a6a925e3045fdd28bac0b5b6db4cc51a6eafa52d",
    "images": "c04c8efb941319e3d7a84ef87cd977c259270337c4b6a0ceb652f7de321e6396",
    "speech": "bd94980ff6d8d25c0d1951aa214dc69ec67e4bfb4c6114bd9ed2a3aed1102488",
    "random": "1acbfe58d0eada58827585469b8cdfcf1e905c3e8042fec8859720e1cf95261b",
}


@needs_corpora
@pytest.mark.parametrize("modality", modalities.MODALITIES)
def test_a_sample_is_the_same_everywhere(modality: str) -> None:
    found = modalities.sample(modality, 16384)

    assert found.sha256 == SHA256[modality]
    assert modalities.sample(modality, 20480).raw.startswith(found.raw)
    assert found.name.endswith("+16384")


@needs_corpora
def test_no_page_that_is_tested_was_trained_on() -> None:
    def titles(text: bytes) -> set[bytes]:
        return set(re.findall(rb"<title>(.*?)</title>", text))

    trained = titles(corpora.load("enwik/enwiki-2016-pages.xml"))
    tested = titles(modalities.sample("text", 1 << 20).raw)

    assert len(trained) > 100
    assert len(tested) > 50
    assert not trained & tested


@needs_corpora
@pytest.mark.parametrize("modality", ["images", "speech"])
def test_no_piece_comes_twice_and_high_bits_are_kept(modality: str) -> None:
    chunks = modalities.sample(modality, 1 << 20).chunks()

    assert len(chunks) == 512 == len(set(chunks))
    assert {len(chunk) for chunk in chunks} == {2048}
    assert max(b"".join(chunks)) > 127


@needs_corpora
def test_more_than_there_is_says_how_much_there_is() -> None:
    with pytest.raises(CorpusError, match="speech has 8,144,896 bytes, expected"):
        modalities.sample("speech", 1 << 30)


def test_text_comes_from_the_smallest_corpus_that_has_enough() -> None:
    assert modalities.text_name(1 << 20) == "enwik/enwik8.head-4150000@3000000+1048576"
    assert modalities.text_name(2 << 20) == "enwik8@3000000+2097152"
    assert modalities.text_name(1 << 27) == "enwik9@3000000+134217728"
    with pytest.raises(CorpusError, match="ask for fewer"):
        modalities.text_name(1 << 30)


def test_unknown_modality_lists_the_known() -> None:
    with pytest.raises(CorpusError, match="'video': known are text, images, speech, random"):
        modalities.sample("video", 2048)


def test_patches_are_rows_of_the_picture_in_reading_order() -> None:
    image = np.arange(65 * 130, dtype=np.uint32).astype(np.uint8).reshape(65, 130)

    found = list(modalities.patches(image))

    assert len(found) == 4  # a row and two columns of pixels are left over
    assert found[1] == image[:32, 64:128].tobytes()
    assert found[2] == image[32:64, :64].tobytes()


def test_grey_levels_are_the_integer_luma_of_bt_601() -> None:
    colors = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(colors).save(file, "PNG")

    luma = (colors.astype(np.int64) @ [19595, 38470, 7471] + 0x8000) >> 16

    assert np.array_equal(modalities.grey_levels(file.getvalue()), luma)


def test_eight_bits_are_the_upper_ones() -> None:
    samples = np.array([-32768, -1, 0, 255, 256, 32767], np.int16)

    assert list(modalities.eight_bit(samples)) == [0, 127, 128, 128, 129, 255]


def test_recordings_come_back_as_they_were_written(tmp_path) -> None:
    import soundfile

    samples = np.random.default_rng(2).integers(-3000, 3000, 5000).astype(np.int16)
    for suffix in ("flac", "wav"):
        soundfile.write(tmp_path / f"a.{suffix}", samples, 16000, "PCM_16")
        assert np.array_equal(
            modalities.samples_of((tmp_path / f"a.{suffix}").read_bytes()), samples
        )


def test_stereo_is_refused(tmp_path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros((9, 2), np.int16), 16000, "PCM_16")

    with pytest.raises(CorpusError, match="2 channels of PCM_16, expected 1"):
        modalities.samples_of((tmp_path / "a.wav").read_bytes())


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'lmcompress\[paper\]'"):
        modalities.samples_of(b"")


@needs_corpora
@pytest.mark.parametrize("modality", [*modalities.MODALITIES, modalities.EXTRACT])
def test_a_samples_name_tells_its_modality(modality: str) -> None:
    assert modalities.modality_of(modalities.sample(modality, 4096).name) == modality


def test_a_name_of_something_else_tells_none() -> None:
    with pytest.raises(CorpusError, match="is not a sample of a modality"):
        modalities.modality_of("calgary/book1@0+4096")
