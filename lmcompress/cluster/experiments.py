"""The experiments of a checkout, each a task on some node."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lmcompress.cluster.connection import connected, ray_module
from lmcompress.cluster.pool import Pool
from lmcompress.cluster.worker import node_id
from lmcompress.errors import LmcompressError
from lmcompress.system.atomic import replace_atomically

Files = dict[str, bytes]
"""By their paths in the checkout."""
_LAST_LINES = 5
"""Lines of a failed experiment's output that are kept."""
_FOLDERS: list[Any] = []
"""Kept until this process ends: the checkouts in which experiments run."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an experiment ended."""

    name: str
    node: str
    code: int
    """Its exit code."""
    last_lines: str
    results: Files


def run_on_cluster(
    root: Path, names: Sequence[str], reads: dict[str, Sequence[str]], *, quick: bool, address: str
) -> Iterator[Outcome]:
    """Runs experiments on the nodes of a Ray cluster, one on each CPU; yields them in order.

    Those that read what others wrote come after the rest. Results are written into the checkout as
    they come in; what an earlier run has written is sent along, so that it resumes.

    Args:
      root: A checkout without changes, which is sent to each node once.
      names: Of experiments.
      reads: Whose results an experiment reads, for those that do.
      quick: Whether to run their quick forms.
      address: `auto`, HOST:PORT or ray://HOST:PORT.

    Raises:
      ClusterError: If no cluster answers, or Ray gives a task up.
      LmcompressError: If the checkout has changes: the nodes would run other code than is recorded.
      MissingDependencyError: Without ray.
    """
    checkout = packed(root)
    first = [name for name in names if name not in reads]
    with connected(address) as ray:
        pool = Pool(ray)
        code = pool.put(checkout)
        for wave in (first, [name for name in names if name in reads]):
            tasks = (
                (name, (code, name, quick, _results(root, name, reads.get(name, ()), quick=quick)))
                for name in wave
            )
            for _, _, outcome in pool.in_order(run_experiment, tasks):
                for path, content in outcome.results.items():
                    target = root / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with replace_atomically(target, overwrite=True) as file:
                        file.write(content)
                yield outcome


def packed(root: Path) -> bytes:
    """Returns a checkout's newest commit as a tar file; raises LmcompressError if it has changes.

    Its history is cut off, but for the commit that records name.
    """
    code = ("lmcompress", "experiments", "pyproject.toml")
    changed = _git(root, "status", "--porcelain", "--", *code).strip()
    if changed:
        raise LmcompressError(
            f"the checkout has changes ({changed.splitlines()[0].strip()}), and nodes run what is "
            "committed: commit them, or leave out --cluster"
        )
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        _git(root, "clone", "--quiet", "--depth=1", root.resolve().as_uri(), str(clone))
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w") as archive:
            archive.add(clone, ".")
        return sink.getvalue()


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as exc:
        reason = str(getattr(exc, "stderr", "") or exc).strip().split("\n")[-1]
        raise LmcompressError(f"--cluster sends a git checkout to the nodes: {reason}") from exc
    return done.stdout


def _results(root: Path, name: str, reads: Sequence[str], *, quick: bool) -> Files:
    """Returns the results that an experiment resumes from, and those that it reads."""
    own = [] if quick else [name]
    return {k: v for other in (*own, *reads) for k, v in _files(root, other, quick=quick).items()}


def _files(root: Path, name: str, *, quick: bool) -> Files:
    folder = root / "results" / ("quick" if quick else "") / name
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def run_experiment(code: list[Any], name: str, quick: bool, results: Files) -> tuple[str, Outcome]:
    """Runs an experiment on this node, in the checkout that was sent; returns the node, and it."""
    root = _unpacked(code[0])
    for path, content in results.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    command = [sys.executable, "-m", f"experiments.{name}", *(["--quick"] if quick else [])]
    done = subprocess.run(
        command, cwd=root, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
    )  # fmt: skip
    last = "\n".join(done.stdout.splitlines()[-_LAST_LINES:]) if done.returncode else ""
    made = _files(root, name, quick=quick)
    return node_id(), Outcome(name, node_id(), done.returncode, last, made)


@functools.lru_cache(maxsize=1)
def _unpacked(code: Any) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="lmcompress-checkout-")
    _FOLDERS.append(folder)
    with tarfile.open(fileobj=io.BytesIO(ray_module().get(code))) as archive:
        archive.extractall(folder.name, filter="tar")
    return Path(folder.name)
