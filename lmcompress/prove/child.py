"""A process that runs a predictor: guards first, then whatever it imports.

Nothing it says is believed but what it says before the predictor runs: which guards hold. That goes
through a pipe, which is closed then. Data comes in by stdin and goes out by a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompress.errors import LmcompressError
from lmcompress.prove import hook, landlock, seccomp
from lmcompress.prove.readable import library_folders, listable_paths, readable_paths

if TYPE_CHECKING:
    from lmcompress.prove.roles import NewSteps
    from lmcompress.prove.steps import Steps

MAX_ANSWER_BYTES = 1 << 30
"""Of each file that the process writes, in its scratch folder too."""


def main(job: dict[str, Any]) -> None:
    """Does what the parent asks, writes the answer, and ends the process."""
    folder = Path(job["folder"])
    with os.fdopen(0, "rb", closefd=False) as source:
        data = source.read()
    for descriptor in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    sys.argv[:] = [job["entry"]]
    refusals = _guard(job, folder)
    head: dict[str, Any] = {}
    blob = b""
    try:
        head, blob = _work(job, folder, data)
    except BaseException as exc:  # also SystemExit: whatever it raises ends up in one line
        head["error"] = describe(exc, folder)
    head["refused"], head["refused_imports"] = refusals.others, refusals.by_imports
    head["modules"] = sorted({name.partition(".")[0] for name in list(sys.modules)})
    with os.fdopen(job["answer"], "wb") as answer:
        answer.write(json.dumps(head).encode() + b"\n" + blob)
    os._exit(0)  # threads that it left running end, too


def _guard(job: dict[str, Any], folder: Path) -> hook.Refusals:
    """Arms the guards, and says so."""
    import resource

    readable, listable = readable_paths(), listable_paths()
    writable = [job["scratch"], os.devnull]
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_ANSWER_BYTES, MAX_ANSWER_BYTES))
    sys.path[:] = [path for path in sys.path if _is_library(path)]
    held: dict[str, Any] = {"landlock": 0, "seccomp": False}
    if job["kernel"]:
        paths = [*readable, str(folder)]
        held["landlock"] = landlock.restrict(paths, listable, writable)
        held["seccomp"] = seccomp.restrict()
    with os.fdopen(job["report"], "w") as report:
        json.dump(held, report)
    return hook.arm(folder, readable, listable, writable)


def _is_library(path: str) -> bool:
    """Whether a folder where Python looks for modules may be read: a checkout may not."""
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(folder) for folder in library_folders())


def _work(job: dict[str, Any], folder: Path, data: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns facts and bytes; imports NumPy only now, since its threads must be guarded."""
    from lmcompress.prove import roles

    entry, role = job["entry"], job["role"]
    if role == "compress":
        return {}, roles.compress(folder, entry, data)
    whole = {"tokenize": roles.tokenize, "decompress": roles.decompress}
    if role in whole:
        return whole[role](folder, entry, data)
    steps = _new_steps(job)
    if role == "decode":
        return roles.decode(folder, entry, data, steps)
    work = {"encode": roles.encode, "score": roles.score}[role]
    return {"count": len(data) // 4}, work(folder, entry, data, steps)


def _new_steps(job: dict[str, Any]) -> NewSteps:
    import mmap

    from lmcompress.prove.steps import PLACE, Steps

    place = mmap.mmap(job["place"], PLACE.size)

    def steps(table: list[bytes]) -> Steps:
        return Steps(table, job["normalise"], place)

    return steps


def describe(error: BaseException, folder: Path) -> str:
    """Returns an error in one line, with the line of the predictor where it came about."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, LmcompressError):
        return text
    text = f": {text}" if text else ""
    with contextlib.suppress(Exception):
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
        if own:
            where = f"line {own[-1].lineno} of {Path(own[-1].filename).name}"
            return f"it raised {type(error).__name__} in {where}{text}"
    return f"it raised {type(error).__name__}{text}"
