"""A certificate is decoded again without the text; a damaged or forged one is refused."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmcompress.errors import NotProvenError, UnsupportedVersionError
from lmcompress.prove.certificate import Certificate, read_certificate, to_json
from lmcompress.prove.checking import check
from tests.support.predictors import COUNTS, SETTINGS, TEXT, UNIFORM, proven, write

SOURCE = COUNTS + "class Predictor(Counts): pass\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return proven(tmp_path_factory.mktemp("honest"), SOURCE)


@pytest.fixture
def proof(tmp_path: Path, certificate: Certificate) -> Path:
    """The certificate beside its predictor, without the text."""
    path = write(tmp_path, SOURCE).with_name("proof.json")
    path.write_bytes(to_json(certificate))
    return path


def changed(certificate: Certificate, **fields: Any) -> bytes:
    """Returns the JSON of a forger, who knows how to compute a seal."""
    return to_json(dataclasses.replace(certificate, **fields))


def test_json_gives_the_certificate_back(proof: Path, certificate: Certificate) -> None:
    assert read_certificate(proof) == certificate


def test_a_certificate_holds_without_the_text(proof: Path, certificate: Certificate) -> None:
    checked = check(proof, SETTINGS)

    assert checked.certificate == certificate
    assert checked.proven_again is None


def test_every_changed_byte_is_found(proof: Path) -> None:
    sealed = proof.read_bytes()
    for at in range(0, len(sealed), 97):
        damaged = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        proof.write_bytes(damaged)
        if json_or_none(damaged) != json.loads(sealed):  # else a space became another
            with pytest.raises((NotProvenError, UnsupportedVersionError)):
                read_certificate(proof)


def json_or_none(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda c: {"bits_per_byte": 0.0914}, "forged: it states bits_per_byte"),
        (lambda c: {"bits_per_byte_with_model": 0.1}, "forged: it states bits_per_byte_with_model"),
        (lambda c: {"model_bytes": 1}, "forged: it states model_bytes"),
        (lambda c: {"raw_bytes": 2 * c.raw_bytes}, "forged: it states raw_bytes"),
        (lambda c: {"compressed_bytes": 3}, "forged: it states compressed_bytes"),
        (lambda c: {"num_symbols": 1}, "forged: it states num_symbols"),
        (lambda c: {"ideal_bits_per_byte": 0.09}, "forged: it states ideal_bits_per_byte"),
        (lambda c: {"ideal_bits_per_byte": None}, "forged: it states ideal_bits_per_byte"),
        (lambda c: {"impossible_symbols": 1}, "forged: it states impossible_symbols"),
        (lambda c: {"raw_sha256": "0" * 64}, "is not the text of the certificate"),
        (lambda c: {"compressed_base64": shortened(c)}, "is not the text of the certificate"),
        (lambda c: {"model_files": outside(c)}, "outside the predictor's folder"),
        (lambda c: {"model_files": [{**c.model_files[0], "num_bytes": 1}]}, "forged: predictor.py"),
        (lambda c: {"model_files": [{**c.model_files[0], "sha256": "0"}]}, "its SHA-256 differs"),
        (lambda c: {"model_files": [{"path": "predictor.py"}]}, "is not a certificate"),
        (lambda c: {"model_files": []}, "No such file|has no class|FileNotFoundError"),
        (lambda c: {"isolation": {}}, "is not a certificate"),
        (lambda c: {"raw_bytes": "318"}, "raw_bytes is '318'"),
        (lambda c: {"raw_bytes": True}, "raw_bytes is True"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_forgery_is_refused(
    proof: Path, certificate: Certificate, forge: Callable[[Certificate], Any], message: str
) -> None:
    proof.write_bytes(changed(certificate, **forge(certificate)))

    with pytest.raises(NotProvenError, match=message):
        check(proof, SETTINGS)


def shortened(certificate: Certificate) -> str:
    """Returns a file of as many symbols, with half of the coder's bytes."""
    compressed = certificate.compressed
    return base64.b64encode(compressed[: len(compressed) // 2]).decode()


def outside(certificate: Certificate) -> list[dict[str, Any]]:
    return [*certificate.model_files, {"path": "../../x", "num_bytes": 1, "sha256": ""}]


def test_a_newer_version_is_told_apart(proof: Path, certificate: Certificate) -> None:
    proof.write_bytes(changed(certificate, schema_version=99))

    with pytest.raises(UnsupportedVersionError, match="99"):
        read_certificate(proof)


@pytest.mark.parametrize("text", [b"", b"[]", b"1", b"{}", b"[" * 100_000, b"\xff"])
def test_what_is_no_certificate_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "proof.json"
    path.write_bytes(text)

    with pytest.raises(NotProvenError, match=r"proof\.json is"):
        read_certificate(path)


def test_another_predictor_is_refused(proof: Path) -> None:
    proof.with_name("predictor.py").write_text(UNIFORM + "class Predictor(Uniform): pass")

    with pytest.raises(NotProvenError, match="is not the file of the certificate"):
        check(proof, SETTINGS)


@pytest.fixture
def elsewhere(proof: Path, certificate: Certificate, tmp_path: Path) -> tuple[Path, Path]:
    """A certificate whose file came about with other floats, and the text."""
    coded = bytearray(certificate.compressed)
    coded[5] ^= 255
    proof.write_bytes(changed(certificate, compressed_base64=base64.b64encode(coded).decode()))
    text = tmp_path / "text.txt"
    text.write_bytes(TEXT)
    return proof, text


def test_where_floats_differ_it_is_proven_again(
    elsewhere: tuple[Path, Path], certificate: Certificate
) -> None:
    proof, text = elsewhere

    checked = check(proof, SETTINGS, str(proof.with_name("predictor.py")), text)

    assert checked.proven_again is not None
    assert checked.proven_again.compressed_bytes == certificate.compressed_bytes
    with pytest.raises(NotProvenError, match=r"prove it again: also give PREDICTOR and FILE"):
        check(proof, SETTINGS)


def test_proven_again_is_only_the_same_text(elsewhere: tuple[Path, Path]) -> None:
    proof, text = elsewhere
    text.write_bytes(TEXT[::-1])

    with pytest.raises(NotProvenError, match="is not the text of the certificate"):
        check(proof, SETTINGS, str(proof.with_name("predictor.py")), text)
