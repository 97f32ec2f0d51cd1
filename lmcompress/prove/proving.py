"""Proves a predictor's figure on a text: tokenize, encode, decode bare, compare."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.metadata
import math
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import lmcompress
from lmcompress.benchmark.provenance import machine_name, utc_now
from lmcompress.errors import NotProvenError
from lmcompress.metrics import bits_per_byte
from lmcompress.prove import claims, diagnosis, landlock
from lmcompress.prove.certificate import Certificate, ModelFile, file_sha256
from lmcompress.prove.opened import OpenedFiles
from lmcompress.prove.overlap import find_overlap
from lmcompress.prove.predictors import bare_copy, found_predictor, shown_name
from lmcompress.prove.processes import Answer, Settings, Subject, run
from lmcompress.prove.readable import readable_paths
from lmcompress.prove.roles import split_file
from lmcompress.prove.rows import RULE

_PROVER = (
    "range_coder.py",
    "prove/roles.py",
    "prove/rows.py",
    "prove/steps.py",
    "prove/loading.py",
)
"""What decides how floats become a file."""


@dataclasses.dataclass(frozen=True)
class Questions:
    """What else a certificate is to answer."""

    claim: float | None = None
    """Bits per byte that somebody claims."""
    trained_on: tuple[Path, ...] = ()
    """Files and folders that the model was trained on."""
    budget: int | None = None
    """Bytes that code, tokenizer and weights may take."""


@dataclasses.dataclass(frozen=True)
class Coded:
    """A text that was encoded and decoded."""

    tokens: Answer
    encoded: Answer
    decoded: Answer
    symbols: diagnosis.Symbols
    files: list[ModelFile]
    """Those that the encoder opened."""
    all_bytes: int
    """Of the files that were opened to tokenize or to encode."""
    knows_files: bool
    """Whether the kernel said which files were opened."""


def prove(
    predictor: str, path: Path, settings: Settings, questions: Questions | None = None
) -> Certificate:
    """Returns the certificate of a predictor on a text.

    Args:
      predictor: What `found_predictor` takes.
      path: The text; it lies outside the predictor's folder.
      settings: How the processes run.
      questions: What else to find out.

    Raises:
      NotProvenError: If no file shows its figure; says why.
      OSError: If the text cannot be read.
    """
    raw = path.read_bytes()
    if not raw:
        raise NotProvenError(f"{path} is empty: there is nothing to predict")
    with found_predictor(predictor) as subject:
        _refuse_readable(path, subject)
        coded = _code(subject, path, raw, settings)
        score = None
        if coded.tokens.facts.get("has_score"):
            args = subject, coded.symbols, len(raw), coded.encoded, settings
            score = diagnosis.check_score(*args)
    answers = _answers(questions or Questions(), raw, coded)
    return _certificate(shown_name(predictor), raw, coded, score, answers, settings)


def _answers(questions: Questions, raw: bytes, coded: Coded) -> dict[str, Any]:
    """Returns the fields of a certificate that answer questions."""
    claim, budget = questions.claim, questions.budget
    explained = None
    if claim is not None:
        bits = float(coded.encoded.bits.sum())
        needed = bits if math.isfinite(bits) else 8.0 * len(coded.encoded.data)
        replaced = coded.tokens.facts["replaced_bytes"]
        explained = claims.explain(claim, raw, len(coded.symbols), replaced, needed)
    found = [dataclasses.asdict(find_overlap(raw, path)) for path in questions.trained_on]
    fits = None
    if budget is not None:
        used = coded.all_bytes
        fits = {"limit_bytes": budget, "used_bytes": used, "fits": used <= budget}
    return {"claim": explained, "trained_on": found, "budget": fits}


def _refuse_readable(path: Path, subject: Subject) -> None:
    """Raises NotProvenError if the predictor may read the text where it lies."""
    real = Path(os.path.realpath(path))
    if real.is_relative_to(subject.folder):
        raise NotProvenError(
            f"{path} lies in the predictor's folder {subject.folder}, all of which it may read: "
            "move one of them"
        )
    if any(real.is_relative_to(top) for top in readable_paths()):
        raise NotProvenError(
            f"{path} lies where Python's libraries are, which a predictor may read: no proof is "
            "possible on it"
        )


def _code(subject: Subject, path: Path, raw: bytes, settings: Settings) -> Coded:
    with OpenedFiles(subject.folder) as opened:
        tokens = run("tokenize", subject, raw, settings)
        for_tokens = opened.paths()
    symbols = np.frombuffer(tokens.data, np.int32)
    with OpenedFiles(subject.folder) as opened, OpenedFiles(path) as readers:
        encoded = run("encode", subject, tokens.data, settings)
        paths = opened.paths()
        if split_file(encoded.data)[0] != len(symbols):
            raise NotProvenError("the file does not hold the symbols: it meddles with the coder")
        names = sorted(file.relative_to(subject.folder).as_posix() for file in paths)
        with bare_copy(subject, names) as bare:
            decoded = run("decode", bare, encoded.data, settings)
        _refuse_readers(readers, encoded)
        files = [ModelFile(n, *_size_and_hash(subject.folder / n)) for n in names]
        all_bytes = sum(file.stat().st_size for file in {*paths, *for_tokens})
        coded = Coded(tokens, encoded, decoded, symbols, files, all_bytes, opened.is_known)
    if decoded.data != raw:
        args = subject, symbols, raw, encoded, decoded, settings
        raise diagnosis.explain_divergence(*args)
    return coded


def _refuse_readers(readers: OpenedFiles, encoded: Answer) -> None:
    """Raises NotProvenError if the text was opened and nothing kept the predictor from doing so."""
    if not encoded.guards["landlock"] and readers.is_known and readers.paths():
        raise NotProvenError(
            "somebody opened the text while the predictor ran: close other programs that may, or "
            "it cheats"
        )


def _size_and_hash(path: Path) -> tuple[int, str]:
    return path.stat().st_size, file_sha256(path)


def isolation(answer: Answer, *, knows_files: bool) -> dict[str, Any]:
    """Returns how strong the isolation was, for a certificate."""
    version, has_seccomp = answer.guards["landlock"], answer.guards["seccomp"]
    kernel = [f"Landlock {version}"] * bool(version) + ["seccomp"] * bool(has_seccomp)
    level = " and ".join(kernel) or "audit hook only"
    if not (version >= landlock.SUFFICIENT and has_seccomp):
        level += " (weak: what it tries in C or Rust may go unseen)"
    return {
        "level": level,
        "landlock": version,
        "seccomp": has_seccomp,
        "counted_files": "those opened, by inotify" if knows_files else "all in the folder",
    }


def _certificate(
    name: str, raw: bytes, coded: Coded, score: dict[str, Any] | None, answers: dict[str, Any],
    settings: Settings,
) -> Certificate:  # fmt: skip
    encoded, model_bytes = coded.encoded, sum(file.counted_bytes for file in coded.files)
    phases = {"tokenize": coded.tokens, "encode": encoded, "decode": coded.decoded}
    return Certificate(
        created_utc=utc_now(),
        lmcompress_version=lmcompress.__version__,
        prover_sha256=prover_sha256(),
        predictor=name,
        raw_bytes=len(raw),
        raw_sha256=hashlib.sha256(raw).hexdigest(),
        num_symbols=len(coded.symbols),
        vocab_size=coded.tokens.facts["vocab_size"],
        compressed_bytes=len(encoded.data),
        compressed_base64=base64.b64encode(encoded.data).decode(),
        model_bytes=model_bytes,
        model_files=[dataclasses.asdict(file) for file in coded.files],
        bits_per_byte=bits_per_byte(len(encoded.data), len(raw)),
        bits_per_byte_with_model=bits_per_byte(len(encoded.data) + model_bytes, len(raw)),
        ideal_bits_per_byte=ideal_bits_per_byte(encoded.bits, len(raw)),
        impossible_symbols=int(np.isinf(encoded.bits).sum()),
        rule=RULE,
        normalised=settings.normalise,
        score=score,
        **answers,
        isolation=isolation(encoded, knows_files=coded.knows_files),
        refused_imports=encoded.facts["refused_imports"],
        packages=_packages(encoded.facts["modules"]),
        python_version=platform.python_version(),
        machine=machine_name(),
        num_threads=settings.threads,
        seconds={phase: round(answer.seconds, 2) for phase, answer in phases.items()},
        peak_bytes={phase: answer.peak_bytes for phase, answer in phases.items()},
    )


def ideal_bits_per_byte(bits: npt.NDArray[np.float64], raw_bytes: int) -> float | None:
    """Returns the predictor's own code length a byte; None if it held what came for impossible."""
    total = float(bits.sum())
    return total / raw_bytes if math.isfinite(total) else None


def prover_sha256() -> str:
    """Returns a hash of the modules that decide how floats become a file."""
    root = Path(lmcompress.__file__).parent
    return hashlib.sha256(b"".join((root / name).read_bytes() for name in _PROVER)).hexdigest()


def _packages(modules: list[str]) -> dict[str, str]:
    """Returns the versions of the installed packages that these modules come from."""
    known = importlib.metadata.packages_distributions()
    names = {name for module in modules for name in known.get(module, [])}
    return {name: importlib.metadata.version(name) for name in sorted(names)}
