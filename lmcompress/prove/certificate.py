"""The certificate: what was proven, with the compressed file in it, as JSON.

Its seal finds damage. Forgery is found by decoding: every figure follows from the compressed file,
the predictor's files and the bytes that come out.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
import json
import types
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from lmcompress.errors import LmcompressError, NotProvenError, UnsupportedVersionError
from lmcompress.prove.loading import CODEC, PREDICTOR
from lmcompress.prove.overlap import Overlap

SCHEMA_VERSION = 1
MAX_BYTES = 1 << 31
NOT_SHOWN = (
    "whether a seed, or the best of several runs, was chosen by its result on this text",
    "whether it was trained on this text, or on others that hold it",
    "what it knows from installed packages, whose bytes are not counted",
    "whether it keeps to a time limit on another machine",
)
"""What decoding cannot see."""


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A file that the encoder opened in the predictor's folder."""

    path: str
    """Relative to the folder, with forward slashes."""
    num_bytes: int
    sha256: str

    @property
    def counted_bytes(self) -> int:
        """Its bytes and those of its name, which could carry something, too."""
        return self.num_bytes + len(self.path.encode())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    """All that a proof found out."""

    schema_version: int = SCHEMA_VERSION
    created_utc: str
    lmcompress_version: str
    prover_sha256: str
    """Of the modules that encode and decode."""
    predictor: str
    """As it was given, without folders of the machine."""
    raw_bytes: int
    raw_sha256: str
    kind: str
    """Predictor or Codec: which class it has."""
    num_symbols: int
    """That were predicted: 0 for a codec."""
    vocab_size: int
    compressed_bytes: int
    compressed_base64: str
    model_bytes: int
    """Of all files that the encoder opened, and of their names."""
    model_files: list[dict[str, Any]]
    bits_per_byte: float
    bits_per_byte_with_model: float
    ideal_bits_per_byte: float | None
    """By the predictor's own floats; None if it held impossible what came, and for a codec. The
    file may be smaller: no symbol costs it more than 24 bits."""
    impossible_symbols: int
    """How many came to which the predictor gave probability 0."""
    rule: str
    normalised: bool
    score: dict[str, Any] | None
    """What `score` claims, compared with single steps; None if the predictor has none."""
    claim: dict[str, Any] | None
    budget: dict[str, Any] | None
    trained_on: list[dict[str, Any]]
    isolation: dict[str, Any]
    refused_imports: list[str]
    packages: dict[str, str]
    python_version: str
    machine: str
    num_threads: int
    seconds: dict[str, float]
    peak_bytes: dict[str, int]
    not_shown: list[str] = dataclasses.field(default_factory=lambda: list(NOT_SHOWN))

    @property
    def files(self) -> list[ModelFile]:
        """The predictor's files."""
        return [ModelFile(**entry) for entry in self.model_files]

    @property
    def compressed(self) -> bytes:
        """The compressed file."""
        return base64.b64decode(self.compressed_base64, validate=True)

    @property
    def answers(self) -> list[str]:
        """What it says to questions that were asked, for people."""
        lines = [] if self.claim is None else [str(self.claim["explanation"])]
        if self.budget is not None:
            verdict = "fit into" if self.budget["fits"] else "do not fit into"
            lines.append(
                f"code, tokenizer and weights have {self.budget['used_bytes']:,} bytes and "
                f"{verdict} {self.budget['limit_bytes']:,}"
            )
        return [*lines, *(Overlap(**found).line for found in self.trained_on)]

    @property
    def line(self) -> str:
        """What it says, for people, in a line."""
        ideal = self.ideal_bits_per_byte
        shown = f"; ideal {'infinite' if ideal is None else f'{ideal:.4f}'}"
        return (
            f"{self.bits_per_byte:.4f} bits per byte, {self.bits_per_byte_with_model:.4f} with the "
            f"model: {self.raw_bytes:,} -> {self.compressed_bytes:,} bytes, the model has "
            f"{self.model_bytes:,}{shown if self.kind == PREDICTOR else ''}; "
            f"isolation: {self.isolation['level']}"
        )


def to_json(certificate: Certificate) -> bytes:
    """Returns a certificate as JSON, with its seal."""
    fields = dataclasses.asdict(certificate)
    return json.dumps({**fields, "seal": _seal(fields)}, indent=1, allow_nan=False).encode() + b"\n"


def read_certificate(path: Path) -> Certificate:
    """Returns the certificate in a file.

    Raises:
      NotProvenError: If it is damaged, or was not written by `to_json`.
      UnsupportedVersionError: If it was written by a newer lmcompress.
      OSError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(MAX_BYTES))
        seal, version = fields.pop("seal", None), fields.get("schema_version")
    except (ValueError, AttributeError, TypeError, RecursionError) as exc:
        raise NotProvenError(f"{path} is not a certificate: expected JSON of prove -o") from exc
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UnsupportedVersionError(
            f"{path} has schema version {version}, expected {SCHEMA_VERSION}: update lmcompress"
        )
    if seal != _seal(fields):
        raise NotProvenError(f"{path} is damaged: its seal does not fit what it says")
    return _from_fields(fields, path)


def _from_fields(fields: dict[str, Any], path: Path) -> Certificate:
    kinds = _kinds()
    if fields.keys() != kinds.keys():
        differing = sorted(fields.keys() ^ kinds.keys())
        raise NotProvenError(f"{path} is not a certificate: it lacks, or should lack, {differing}")
    for name, kind in kinds.items():
        is_stray_bool = isinstance(fields[name], bool) and bool not in kind
        if not isinstance(fields[name], kind) or is_stray_bool:
            raise NotProvenError(f"{path} is not a certificate: {name} is {fields[name]!r:.60}")
    certificate = Certificate(**fields)
    if certificate.kind not in (PREDICTOR, CODEC):
        raise NotProvenError(f"{path} is not a certificate: kind is {certificate.kind!r:.60}")
    try:
        _ = certificate.files, certificate.compressed, certificate.line, certificate.answers
    except (TypeError, KeyError, AttributeError, binascii.Error) as exc:
        raise NotProvenError(f"{path} is not a certificate: {exc}") from exc
    return certificate


@functools.cache
def _kinds() -> dict[str, tuple[type, ...]]:
    """Returns the types of the fields, as JSON has them: a whole number may be an int."""
    hints = get_type_hints(Certificate)
    return {name: _plain(kind) for name, kind in hints.items()}


def _plain(kind: Any) -> tuple[type, ...]:
    """Returns what `isinstance` takes: list for list[str], int besides float, NoneType."""
    members = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    plain = [get_origin(member) or member for member in members]
    return (*plain, int) if float in plain else tuple(plain)


def _seal(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse(what: str) -> LmcompressError:
    """Returns the error of a certificate that says something else than what was found."""
    return NotProvenError(f"the certificate is forged: {what}")
