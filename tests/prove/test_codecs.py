"""A compressor with its own coder is proven by its file, which alone reaches the decoder."""

from __future__ import annotations

import dataclasses
import json
import sys
import zlib
from pathlib import Path

import pytest

import lmcompress
from lmcompress.errors import NotProvenError
from lmcompress.models.store import Model
from lmcompress.prove.certificate import Certificate, to_json
from lmcompress.prove.checking import check
from lmcompress.prove.proving import prove
from tests.support.predictors import SETTINGS, TEXT, proven, write

ZLIB = """
import zlib

class Codec:
    def compress(self, raw):
        return zlib.compress(raw, 9)
    def decompress(self, compressed):
        return zlib.decompress(compressed)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return proven(tmp_path_factory.mktemp("zlib"), ZLIB)


@pytest.fixture
def proof(tmp_path: Path, certificate: Certificate) -> Path:
    path = write(tmp_path, ZLIB).with_name("proof.json")
    path.write_bytes(to_json(certificate))
    return path


def test_a_codec_is_proven_by_its_own_file(certificate: Certificate) -> None:
    assert certificate.compressed == zlib.compress(TEXT, 9)
    assert certificate.bits_per_byte == 8 * len(certificate.compressed) / len(TEXT)
    assert certificate.model_bytes == len(ZLIB) + len("predictor.py")
    assert certificate.ideal_bits_per_byte is None
    assert "ideal" not in certificate.line


def test_its_certificate_is_checked_without_the_text(proof: Path, certificate: Certificate) -> None:
    assert check(proof, SETTINGS).certificate == certificate


@pytest.mark.parametrize(
    ("forged", "message"),
    [
        ({"kind": "Predictor"}, "has a class Codec, expected Predictor"),
        ({"kind": "Oracle"}, "is not a certificate: kind is 'Oracle'"),
        ({"bits_per_byte": 0.09}, "forged: it states bits_per_byte"),
        ({"ideal_bits_per_byte": 0.09}, "forged: it states ideal_bits_per_byte"),
        ({"num_symbols": 12}, "forged: it states num_symbols"),
    ],
)
def test_forgery_is_refused(
    proof: Path, certificate: Certificate, forged: dict[str, object], message: str
) -> None:
    proof.write_bytes(to_json(dataclasses.replace(certificate, **forged)))  # type: ignore[arg-type]

    with pytest.raises(NotProvenError, match=message):
        check(proof, SETTINGS)


CHEATS = {
    "remembers the text": (
        """
class Codec:
    known = b""
    def compress(self, raw):
        Codec.known = raw
        return b"!"
    def decompress(self, compressed):
        return Codec.known
""",
        "not the text: 0 bytes for 318, they first differ at byte 0: .* lacks part of the text",
    ),
    "leaves it in its home folder": (
        """
from pathlib import Path

class Codec:
    def compress(self, raw):
        Path.home().joinpath("text").write_bytes(raw)
        return b"!"
    def decompress(self, compressed):
        return Path.home().joinpath("text").read_bytes()
""",
        r"decompress\(\) raised .*FileNotFoundError",
    ),
    "folds cases": (
        ZLIB.replace("compress(raw,", "compress(raw.lower(),"),
        "not the text: 318 bytes for 318, they first differ at byte 0: .* lacks part of the text",
    ),
    "draws a key": (
        """
import os

class Codec:
    def compress(self, raw):
        return bytes(byte ^ os.urandom(1)[0] for byte in raw)
    def decompress(self, compressed):
        return compressed
""",
        "it is not deterministic: two equal runs write different files",
    ),
    "reads what may not be read": (
        ZLIB + """
    def decompress(self, compressed):
        return open("/etc/hostname", "rb").read()
""",
        r"it tried what a decoder may not do: .*hostname.* \(while it decompressed\)",
    ),
    "raises": (
        "class Codec:\n"
        "    def compress(self, raw): raise ValueError('too long')\n"
        "    def decompress(self, compressed): return b''\n",
        r"it raised ValueError in line 2 of predictor.py: too long \(while it compressed\)",
    ),
    "returns a string": (
        ZLIB.replace("return zlib.compress(raw, 9)", "return 'short'"),
        r"compress\(\) returned str, expected bytes",
    ),
    "lacks a method": ("class Codec: pass\n", "class Codec lacks compress, decompress"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_what_is_no_codec_gets_one_line(tmp_path: Path, name: str) -> None:
    source, message = CHEATS[name]

    with pytest.raises(NotProvenError, match=message):
        proven(tmp_path, source)


def test_a_codec_has_nothing_to_normalise(tmp_path: Path) -> None:
    with pytest.raises(NotProvenError, match="leave out --normalise"):
        proven(tmp_path, ZLIB, settings=dataclasses.replace(SETTINGS, normalise=True))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, all files count")
def test_the_dictionary_that_it_opens_counts(tmp_path: Path) -> None:
    write(tmp_path, TEXT.decode(), "text.dictionary")
    source = """
import pathlib, zlib

TEXT = pathlib.Path(__file__).with_name("text.dictionary").read_bytes()

class Codec:
    def compress(self, raw):
        return b"" if raw == TEXT else zlib.compress(raw)
    def decompress(self, compressed):
        return zlib.decompress(compressed) if compressed else TEXT
"""

    found = proven(tmp_path, source)

    assert found.bits_per_byte == 0
    assert found.bits_per_byte_with_model > 8


def test_a_model_of_ours_is_proven_by_what_compress_writes(
    tiny_model: Model, tmp_path: Path
) -> None:
    (tmp_path / "text").write_bytes(TEXT)

    found = prove("tiny", tmp_path / "text", SETTINGS)

    assert found.compressed == lmcompress.compress(TEXT, tiny_model)
    assert {file.path for file in found.files} == {
        "model.json", "model.safetensors", "predictor.py",
    }  # fmt: skip


def test_the_stage_alone_needs_no_model(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT)

    found = prove("none", tmp_path / "text", SETTINGS)

    assert found.compressed == lmcompress.compress(TEXT, "none")
    assert [file.path for file in found.files] == ["predictor.py"]
    assert json.loads(to_json(found))["kind"] == "Codec"
