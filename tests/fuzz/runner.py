"""Runs cases and measures them: outcomes, CPU seconds, growth of peak memory."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from unittest import mock

from lmcompress import CodecConfig
from lmcompress.cli.errors import error_line
from tests.fuzz.case import Case, Kind, Limits, Setting, Wrong
from tests.fuzz.frame_kinds import FRAME_KINDS
from tests.fuzz.model_kinds import MODEL_KINDS
from tests.fuzz.seeds import MODELS, PROMPT
from tests.fuzz.text_kinds import TEXT_KINDS

KINDS = {kind.name: kind for kind in (*FRAME_KINDS, *MODEL_KINDS, *TEXT_KINDS)}
DEFAULT_KINDS = [name for name, kind in KINDS.items() if kind.weight]
CONFIG = CodecConfig(prompt=PROMPT, prompt_cache=0, threads=1)
"""How frames are decoded."""
UNDAMAGED = "undamaged"
"""The seed of cases that no operation may refuse."""
RIGHT = "right"
"""The outcome of a case that ended without an error."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """A case that did what none may do."""

    case: Case
    reason: str


@dataclasses.dataclass
class Totals:
    """What the cases of a kind came to."""

    outcomes: Counter[str] = dataclasses.field(default_factory=Counter)
    seconds: float = 0.0
    worst_seconds: float = 0.0
    worst_bytes: int = 0


@dataclasses.dataclass
class Report:
    """What a run came to."""

    totals: dict[str, Totals] = dataclasses.field(default_factory=dict)
    failures: list[Failure] = dataclasses.field(default_factory=list)


def case_of(seed: str, number: int, kinds: Sequence[str]) -> Case:
    """Returns a case: the same for the same arguments."""
    rng = random.Random(f"{seed} {number}")
    chosen = [KINDS[name] for name in kinds]
    [kind] = rng.choices(chosen, [kind.weight or 1 for kind in chosen])
    return kind.case(seed, number, rng)


@contextlib.contextmanager
def prepared(config: CodecConfig = CONFIG) -> Iterator[Setting]:
    """Yields the setting of a run: the models that frames name, an empty folder, a quiet log."""
    models = os.pathsep.join(map(str, MODELS))
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(os.environ, LMCOMPRESS_MODELS=models),
    ):
        logged = logging.root.manager.disable
        logging.disable(logging.ERROR)
        try:
            yield Setting(config, Path(folder))
        finally:
            logging.disable(logged)


def undamaged(kinds: Iterable[str]) -> Iterator[Case]:
    """Yields every seed with every operation: they must be right, and warm caches up."""
    for name in kinds:
        for number, data in enumerate(KINDS[name].seeds()):
            for operation in KINDS[name].operations:
                yield Case(name, UNDAMAGED, number, operation, data)


def run(
    cases: Iterable[Case], setting: Setting, report: Report, limits: Limits | None = None
) -> Report:
    """Runs cases; `limits` are used instead of their kinds' own."""
    for case in cases:
        kind = KINDS[case.kind]
        totals = report.totals.setdefault(case.kind, Totals())
        before = _peak_bytes(reset=True)
        started = time.process_time()
        outcome, reason = _outcome(kind, case, setting)
        seconds = time.process_time() - started
        grown = max(0, _peak_bytes() - before)
        totals.outcomes[outcome] += 1
        totals.seconds += seconds
        totals.worst_seconds = max(totals.worst_seconds, seconds)
        totals.worst_bytes = max(totals.worst_bytes, grown)
        reason = reason or _beyond(limits or kind.limits(case.data), seconds, grown)
        if reason:
            report.failures.append(Failure(case, reason))
    return report


def _outcome(kind: Kind, case: Case, setting: Setting) -> tuple[str, str]:
    """Returns how a case ended, and why that is wrong if it is."""
    try:
        kind.operations[case.operation][1](case, setting)
    except kind.errors as exc:
        is_wrong = case.seed == UNDAMAGED
        return type(exc).__name__, f"not damaged: {exc}" if is_wrong else _badly_said(exc)
    except Wrong as exc:
        return "wrong", str(exc)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # a panic in a package's Rust is no Exception
        return type(exc).__name__, "".join(traceback.format_exception(exc, limit=-5)).strip()
    return RIGHT, ""


def _badly_said(exc: Exception) -> str:
    line = error_line(exc)
    return "" if line.isprintable() else f"the error is not printable: {line!r}"


def _beyond(limits: Limits, seconds: float, grown: int) -> str:
    if seconds > limits.seconds:
        return f"took {seconds:.1f} CPU seconds, expected {limits.seconds:.1f} at most"
    if grown > limits.num_bytes:
        return f"memory grew by {grown:,} bytes, expected {limits.num_bytes:,} at most"
    return ""


def _peak_bytes(reset: bool = False) -> int:
    """Returns the process's peak memory since the last reset; 0 where Linux does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        return 0
    return int(status.split(b"VmHWM:")[1].split()[0]) << 10
