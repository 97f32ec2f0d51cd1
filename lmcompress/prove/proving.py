"""Proves a figure on a text, that of a predictor or of a codec, and certifies it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib.metadata
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import lmcompress
from lmcompress.benchmark.provenance import machine_name, utc_now
from lmcompress.errors import NotProvenError
from lmcompress.metrics import bits_per_byte
from lmcompress.prove import claims, diagnosis, landlock
from lmcompress.prove.certificate import Certificate
from lmcompress.prove.coding import Coded, code
from lmcompress.prove.loading import PREDICTOR
from lmcompress.prove.overlap import find_overlap
from lmcompress.prove.predictors import found_predictor, shown_name
from lmcompress.prove.processes import Answer, Settings, Subject
from lmcompress.prove.readable import readable_paths
from lmcompress.prove.rows import NO_RULE, RULE

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


def prove(
    predictor: str, path: Path, settings: Settings, questions: Questions | None = None, *,
    adaptive: bool = True, places: Sequence[Path] = (),
) -> Certificate:  # fmt: skip
    """Returns the certificate of a predictor or codec on a text.

    Args:
      predictor: What `found_predictor` takes.
      path: The text; it lies outside the predictor's folder.
      settings: How the processes run.
      questions: What else to find out.
      adaptive: Whether a model of ours is proven as the codec that it is with the adaptive stage.
      places: Folders to look for the predictor in besides the current one.

    Raises:
      NotProvenError: If no file shows its figure; says why.
      OSError: If the text, or what the model was trained on, cannot be read.
    """
    raw = path.read_bytes()
    if not raw:
        raise NotProvenError(f"{path} is empty: there is nothing to predict")
    questions = questions or Questions()
    overlaps = [find_overlap(raw, trained_on) for trained_on in questions.trained_on]
    with found_predictor(predictor, places, adaptive=adaptive) as subject:
        _refuse_readable(path, subject)
        coded = code(subject, path, raw, settings)
        score = None
        if coded.tokens.facts.get("has_score"):
            args = subject, coded.symbols, len(raw), coded.encoded, settings
            score = diagnosis.check_score(*args)
    answers = _answers(questions, raw, coded) | {
        "trained_on": [dataclasses.asdict(found) for found in overlaps]
    }
    return _certificate(shown_name(predictor), raw, coded, score, answers, settings)


def _answers(questions: Questions, raw: bytes, coded: Coded) -> dict[str, Any]:
    """Returns the fields of a certificate that answer questions."""
    claim, budget = questions.claim, questions.budget
    explained = None
    if claim is not None:
        ideal = ideal_bits(coded.encoded.bits)
        needed = 8.0 * len(coded.encoded.data) if ideal is None else ideal
        replaced = coded.tokens.facts["replaced_bytes"]
        explained = claims.explain(claim, raw, len(coded.symbols), replaced, needed)
    fits = None
    if budget is not None:
        used = coded.all_bytes
        fits = {"limit_bytes": budget, "used_bytes": used, "fits": used <= budget}
    return {"claim": explained, "budget": fits}


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
        kind=coded.kind,
        num_symbols=len(coded.symbols),
        vocab_size=coded.tokens.facts["vocab_size"],
        compressed_bytes=len(encoded.data),
        compressed_base64=base64.b64encode(encoded.data).decode(),
        model_bytes=model_bytes,
        model_files=[dataclasses.asdict(file) for file in coded.files],
        bits_per_byte=bits_per_byte(len(encoded.data), len(raw)),
        bits_per_byte_with_model=bits_per_byte(len(encoded.data) + model_bytes, len(raw)),
        ideal_bits_per_byte=None if (bits := ideal_bits(encoded.bits)) is None else bits / len(raw),
        impossible_symbols=int(np.isinf(encoded.bits).sum()),
        rule=RULE if coded.kind == PREDICTOR else NO_RULE,
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


def ideal_bits(bits: npt.NDArray[np.float64]) -> float | None:
    """Returns the predictor's own code length, in bits.

    None if it held impossible what came, and for a codec, which says nothing of single symbols.
    """
    total = float(bits.sum())
    return total if len(bits) and math.isfinite(total) else None


def prover_sha256() -> str:
    """Returns a hash of the modules that decide how floats become a file."""
    root = Path(lmcompress.__file__).parent
    return hashlib.sha256(b"".join((root / name).read_bytes() for name in _PROVER)).hexdigest()


def _packages(modules: list[str]) -> dict[str, str]:
    """Returns the versions of the installed packages that these modules come from."""
    known = importlib.metadata.packages_distributions()
    names = {name for module in modules for name in known.get(module, [])}
    return {name: importlib.metadata.version(name) for name in sorted(names)}
