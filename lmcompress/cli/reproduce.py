"""The command that makes the results again: reproduce."""

from __future__ import annotations

import difflib
import importlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import click

from lmcompress.errors import LmcompressError

_ROOT = Path(__file__).resolve().parents[2]


@click.command(
    short_help="Run experiments again, from a checkout.",
    epilog="Example: lmcompress reproduce figure_3 --quick",
)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--quick", is_flag=True, help="Small inputs, into results/quick.")
@click.option("--list", "as_list", is_flag=True, help="List the experiments and run none.")
def reproduce(names: tuple[str, ...], quick: bool, as_list: bool) -> int:
    """Run the experiments NAME, or all of them, one after the other.

    Each writes records, tables and figures into results/, and goes on where it was stopped if it
    keeps its records one by one. A failed one does not stop the others. With --quick, each begins
    anew, and rates are compared with the committed ones at the end.
    """
    root = _checkout()
    declared = _experiments(root)
    if as_list:
        width = max(map(len, declared.EXPERIMENTS))
        for name, title in declared.EXPERIMENTS.items():
            needs = f" ({declared.NEEDS[name]})" if name in declared.NEEDS else ""
            click.echo(f"{name:{width}}  {title}{needs}")
        return 0
    chosen = _chosen(names, declared.EXPERIMENTS)
    if quick:
        unable = [name for name in chosen if name in declared.WITHOUT_QUICK]
        if names and unable:
            raise LmcompressError(f"{unable[0]} has no quick form: leave --quick out")
        downloads = [] if names else [name for name in chosen if name in declared.DOWNLOADS]
        chosen = [name for name in chosen if name not in (*unable, *downloads)]
        for name in unable:
            click.echo(f"left out {name}: it has no quick form", err=True)
        for name in downloads:
            click.echo(f"left out {name}: it downloads a model, name it to run it", err=True)
    failed = [name for i, name in enumerate(chosen) if not _run(root, name, i, len(chosen), quick)]
    if quick and not _is_as_committed(root, chosen):
        failed.append("quick_rates")
    if failed:
        raise LmcompressError(f"failed: {', '.join(failed)}; what was done is kept, run them again")
    return 0


def _is_as_committed(root: Path, names: Sequence[str]) -> bool:
    """Whether the rates of quick runs are those that are committed; says so."""
    command = [sys.executable, "-m", "experiments.support.quick_rates", *names]
    return subprocess.run(command, cwd=root, check=False).returncode == 0


def _checkout() -> Path:
    """Returns the folder of the checkout: beside an editable installation, else the current one."""
    here = Path.cwd()
    parts = [here / name / "__init__.py" for name in ("lmcompress", "experiments")]
    return here if not _has_experiments(_ROOT) and all(map(Path.is_file, parts)) else _ROOT


def _has_experiments(root: Path) -> bool:
    return (root / "experiments" / "__init__.py").is_file()


def _experiments(root: Path) -> ModuleType:
    """Returns the checkout's package of experiments; a wheel has none."""
    if not _has_experiments(root):
        raise LmcompressError(
            "found no experiments beside the installed package, expected a checkout: clone the "
            "repository and run this there"
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module("experiments")


def _chosen(names: Sequence[str], known: dict[str, str]) -> list[str]:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise LmcompressError(f"no experiment {name!r}: {hint}known are {', '.join(known)}")
    return list(dict.fromkeys(names)) or list(known)


def _run(root: Path, name: str, index: int, count: int, quick: bool) -> bool:
    """Runs one experiment in a process of its own; returns whether it ended well."""
    click.echo(f"[{index + 1}/{count}] {name}", err=True)
    if quick:  # rows of an earlier run would be compared in the place of this one's
        shutil.rmtree(root / "results" / "quick" / name, ignore_errors=True)
    started = time.monotonic()
    command = [sys.executable, "-m", f"experiments.{name}", *(["--quick"] if quick else [])]
    code = subprocess.run(command, cwd=root, check=False).returncode
    ended = "done" if code == 0 else f"failed with exit code {code}"
    click.echo(
        f"[{index + 1}/{count}] {name}: {ended}, {time.monotonic() - started:.0f} s", err=True
    )
    return code == 0
