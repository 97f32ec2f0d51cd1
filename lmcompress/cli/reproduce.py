"""The command `reproduce`: runs the experiments of a checkout."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmcompress.cli.cluster import cluster_option
from lmcompress.errors import LmcompressError, did_you_mean

if TYPE_CHECKING:
    from lmcompress.cli.needs import Needs

_ROOT = Path(__file__).resolve().parents[2]


@click.command(
    short_help="Rerun the experiments, in a checkout.",
    epilog="Example: lmcompress reproduce figure_3 --quick",
)
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--quick", is_flag=True, help="Use small inputs, and write to results/quick.")
@cluster_option(
    "Run each experiment, from the newest commit, on one CPU of a node. What it writes comes back. "
    "The nodes are those of"
)
@click.option(
    "--list",
    "as_list",
    is_flag=True,
    help="List the experiments and what they need: texts, packages, minutes. Runs none.",
)
def reproduce(names: tuple[str, ...], quick: bool, cluster: str | None, as_list: bool) -> int:
    """Run each experiment NAME, or all of them, one after the other.

    Each writes records, tables and figures to results/. One that was interrupted resumes if it
    stores its records one by one. A failure does not stop the others. With --quick, each starts
    from scratch, and the rates are compared with the committed ones at the end.
    """
    from lmcompress.cli.needs import Needs  # takes a while

    root = _checkout()
    declared = _declared_experiments(root)
    if as_list:
        _list(root, declared, quick=quick)
        return 0
    chosen = _chosen(names, declared["EXPERIMENTS"])
    if quick:
        unable = [name for name in chosen if name in declared["WITHOUT_QUICK"]]
        if names and unable:
            raise LmcompressError(f"{unable[0]} has no quick form: run it without --quick")
        downloads = [] if names else [name for name in chosen if name in declared["DOWNLOADS"]]
        chosen = [name for name in chosen if name not in (*unable, *downloads)]
        for name in unable:
            click.echo(f"left out {name}: it has no quick form", err=True)
        for name in downloads:
            click.echo(f"left out {name}: it downloads a model; name it to run it", err=True)
    chosen = _possible(Needs.of(root, quick=quick), chosen, is_named=bool(names))
    if cluster is not None:
        failed = _failed_on_cluster(root, chosen, declared["READS"], cluster, quick=quick)
    else:
        runs = ((name, _run(root, name, i, len(chosen), quick)) for i, name in enumerate(chosen))
        failed = [name for name, succeeded in runs if not succeeded]
    if quick and not _is_as_committed(root, chosen):
        failed.append("quick_rates")
    if failed:
        raise LmcompressError(f"failed: {', '.join(failed)}; finished work is kept, run them again")
    return 0


def _list(root: Path, declared: dict[str, Any], *, quick: bool) -> None:
    """Prints each experiment with what it needs: texts, what else, minutes."""
    from lmcompress.benchmark.minutes import Minutes
    from lmcompress.cli.needs import Needs

    needs = Needs.of(root, quick=quick)
    minutes = {name: Minutes.of(root / "results" / name) for name in declared["EXPERIMENTS"]}
    width = max(map(len, declared["EXPERIMENTS"]))
    for name, title in declared["EXPERIMENTS"].items():
        found = [needs.described(name), declared["NEEDS"].get(name)]
        if not quick and minutes[name].timed_rows:
            found.append(str(minutes[name]))
        click.echo(f"{name:{width}}  {title}")
        click.echo(f"{'':{width}}  {'; '.join(filter(None, found))}")
    total = sum(minutes.values(), start=Minutes(0, 0, 0))
    click.echo(f"\nAll need the extra paper: pip install '.[paper]'. Timed in full: {total}.")


def _possible(needs: Needs, names: Sequence[str], *, is_named: bool) -> list[str]:
    """Returns the experiments whose texts and packages are here or can be had; names the others.

    Raises:
      LmcompressError: If one that the user named is not among them, or none is left.
    """
    found = []
    for name in names:
        lacking = needs.lacking(name)
        if lacking is None:
            found.append(name)
        elif is_named:
            raise LmcompressError(f"{name} cannot run: {lacking}")
        else:
            click.echo(f"left out {name}: {lacking}", err=True)
    if not found:
        raise LmcompressError(
            "no experiment has all that it needs: `lmcompress demo` needs nothing but Python"
        )
    return found


def _is_as_committed(root: Path, names: Sequence[str]) -> bool:
    """Whether the rates of quick runs equal the committed ones; prints a comparison."""
    command = [sys.executable, "-m", "experiments.support.quick_rates", *names]
    return subprocess.run(command, cwd=root, check=False).returncode == 0


def _checkout() -> Path:
    """Returns the root of the checkout: of an editable installation, or else the current folder."""
    here = Path.cwd()
    is_here = _declarations(here).is_file() and (here / "lmcompress" / "__init__.py").is_file()
    return here if is_here and not _declarations(_ROOT).is_file() else _ROOT


def _declarations(root: Path) -> Path:
    return root / "experiments" / "__init__.py"


def _declared_experiments(root: Path) -> dict[str, Any]:
    """Returns the names declared in experiments/__init__.py; a wheel has no such file.

    The file is run by its path: an installed copy must not take the experiments of another place.
    """
    path = _declarations(root)
    if not path.is_file():
        raise LmcompressError(
            "found no experiments next to the installed package, expected a checkout: clone the "
            "repository and run this there"
        )
    return runpy.run_path(str(path))


def _chosen(names: Sequence[str], known: dict[str, str]) -> list[str]:
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise LmcompressError(f"no experiment {name!r}: {hint}known are {', '.join(known)}")
    return list(dict.fromkeys(names)) or list(known)


def _failed_on_cluster(
    root: Path, names: Sequence[str], reads: dict[str, Sequence[str]], cluster: str, *, quick: bool
) -> list[str]:
    """Runs experiments on a cluster; returns the names of those that failed."""
    from lmcompress.cluster.experiments import run_on_cluster

    failed = []
    outcomes = run_on_cluster(root, names, reads, quick=quick, address=cluster)
    for i, outcome in enumerate(outcomes, 1):
        ended = f"failed with exit code {outcome.code}" if outcome.code else "done"
        label = f"[{i}/{len(names)}] {outcome.name}: {ended} on node {outcome.node[:8]}"
        click.echo(f"{label}\n{outcome.last_lines}".rstrip(), err=True)
        if outcome.code:
            failed.append(outcome.name)
    return failed


def _run(root: Path, name: str, index: int, count: int, quick: bool) -> bool:
    """Runs one experiment in its own process; returns whether it succeeded."""
    click.echo(f"[{index + 1}/{count}] {name}", err=True)
    if quick:  # rows of an earlier run must not be compared instead of this one's
        shutil.rmtree(root / "results" / "quick" / name, ignore_errors=True)
    started = time.monotonic()
    command = [sys.executable, "-m", f"experiments.{name}", *(["--quick"] if quick else [])]
    code = subprocess.run(command, cwd=root, check=False).returncode
    ended = "done" if code == 0 else f"failed with exit code {code}"
    click.echo(
        f"[{index + 1}/{count}] {name}: {ended}, {time.monotonic() - started:.0f} s", err=True
    )
    return code == 0
