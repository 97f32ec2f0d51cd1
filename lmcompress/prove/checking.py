"""Checks a certificate: decodes its file again, without the text, and computes all its figures."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lmcompress.errors import NotProvenError
from lmcompress.metrics import bits_per_byte
from lmcompress.prove.certificate import Certificate, file_sha256, read_certificate, refuse
from lmcompress.prove.coding import ROLES
from lmcompress.prove.loading import CODEC
from lmcompress.prove.predictors import bare_copy, found_predictor
from lmcompress.prove.processes import Answer, Settings, Subject, run
from lmcompress.prove.proving import ideal_bits, isolation, prove, prover_sha256


@dataclasses.dataclass(frozen=True)
class Checked:
    """A certificate that holds here."""

    certificate: Certificate
    proven_again: Certificate | None
    """A new proof, where the floats of this machine are others than those of the certificate."""
    isolation: str
    """How strong that of the process was which decoded it here."""


def check(
    path: Path, settings: Settings, predictor: str | None = None, text: Path | None = None
) -> Checked:
    """Returns what a certificate says, if it is true here.

    Args:
      path: The certificate.
      settings: How the process runs; whether rows are normalised is taken from the certificate.
      predictor: Where the predictor is; by default where the certificate says, seen from the
        current folder or from that of the certificate.
      text: The text, from which to prove the figure again if what is decoded here is not it.

    Raises:
      NotProvenError: If it is damaged or forged, or its file decodes to something else and no
        text is given.
    """
    certificate = read_certificate(path)
    settings = dataclasses.replace(
        settings, normalise=certificate.normalised, threads=certificate.num_threads
    )
    name = predictor or certificate.predictor
    is_codec = certificate.kind == CODEC
    with found_predictor(name, [path.parent], adaptive=is_codec) as subject:
        _check_files(certificate, subject)
        with bare_copy(subject, [file.path for file in certificate.files]) as bare:
            decoded = run(ROLES[certificate.kind][1], bare, certificate.compressed, settings)
    level = isolation(decoded, knows_files=True)["level"]
    if hashlib.sha256(decoded.data).hexdigest() == certificate.raw_sha256:
        _check_figures(certificate, decoded)
        return Checked(certificate, None, level)
    if text is None:
        raise NotProvenError(_other_floats(certificate))
    return Checked(
        certificate, _proven_again(certificate, name, text, settings, [path.parent]), level
    )


def _check_files(certificate: Certificate, subject: Subject) -> None:
    """Raises NotProvenError unless the predictor's files are those of the certificate."""
    for file in certificate.files:
        path = subject.folder / file.path
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(subject.folder):
            raise refuse(f"it names {file.path!r}, outside the predictor's folder")
        if not path.is_file():
            raise NotProvenError(f"{file.path} is missing in {subject.folder}: get the predictor")
        if file_sha256(path) != file.sha256:
            raise NotProvenError(f"{path} is not the file of the certificate: its SHA-256 differs")
        if path.stat().st_size != file.num_bytes:
            raise refuse(f"{file.path} has {path.stat().st_size} bytes, not {file.num_bytes}")


def _check_figures(certificate: Certificate, decoded: Answer) -> None:
    """Raises NotProvenError unless every figure follows from the file and what came out of it."""
    raw_bytes, compressed_bytes = len(decoded.data), len(certificate.compressed)
    model_bytes = sum(file.counted_bytes for file in certificate.files)
    found = {
        "raw_bytes": raw_bytes,
        "compressed_bytes": compressed_bytes,
        "model_bytes": model_bytes,
        "num_symbols": len(decoded.checks),
        "impossible_symbols": int(np.isinf(decoded.bits).sum()),
        "bits_per_byte": bits_per_byte(compressed_bytes, raw_bytes),
        "bits_per_byte_with_model": bits_per_byte(compressed_bytes + model_bytes, raw_bytes),
    }
    for name, value in found.items():
        if getattr(certificate, name) != value:
            stated = getattr(certificate, name)
            raise refuse(f"it states {name} {stated}, but its file gives {value}")
    ideal, claimed = ideal_bits(decoded.bits), certificate.ideal_bits_per_byte
    if not _agree(ideal, None if claimed is None else claimed * raw_bytes):
        found_ideal = None if ideal is None else ideal / raw_bytes
        raise refuse(f"it states ideal_bits_per_byte {claimed}, but its file gives {found_ideal}")


def _agree(found: float | None, claimed: float | None) -> bool:
    """Whether two sums of logarithms do: their last bits may differ though no row does."""
    if found is None or claimed is None:
        return found is claimed
    return math.isclose(found, claimed, rel_tol=1e-9)


def _other_floats(certificate: Certificate) -> str:
    """Returns what to do where the file decodes to something else."""
    here = {"Python": platform.python_version(), "prover": prover_sha256()[:8]}
    there = {"Python": certificate.python_version, "prover": certificate.prover_sha256[:8]}
    differing = [f"{k} {there[k]}, here {here[k]}" for k in here if here[k] != there[k]]
    made = f"; it was made on {certificate.machine}" + "".join(f"; {text}" for text in differing)
    return (
        "what it decodes to here is not the text of the certificate: either this machine rounds "
        f"differently, or the certificate is forged{made}. To find out, prove it again: also give "
        "PREDICTOR and FILE"
    )


def _proven_again(
    certificate: Certificate, name: str, text: Path, settings: Settings, places: Sequence[Path]
) -> Certificate:
    if file_sha256(text) != certificate.raw_sha256:
        raise NotProvenError(f"{text} is not the text of the certificate: its SHA-256 differs")
    is_codec = certificate.kind == CODEC
    return prove(name, text, settings, adaptive=is_codec, places=places)
