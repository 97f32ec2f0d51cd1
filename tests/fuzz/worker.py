"""The process that runs the cases, and what it prints of them."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import re
import sys
import time
from pathlib import Path
from typing import Any

SAVED = Path("runs") / "fuzz"
"""Where the data of cases that failed is kept."""


def work(args: argparse.Namespace, current: Any) -> None:
    """Runs cases, and tells in `current` which; exits with 1 if any failed."""
    faulthandler.enable()
    from tests.fuzz.runner import DEFAULT_KINDS, KINDS, Report, case_of, prepared, run

    if unknown := set(args.kind) - set(KINDS):
        sys.exit(f"unknown kind {', '.join(unknown)}, known are {', '.join(KINDS)}")
    kinds = args.kind or DEFAULT_KINDS
    with prepared() as setting:
        if args.case is not None:
            case = case_of(args.seed, args.case, kinds)
            print(f"{case.kind}, {case.operation}, {len(case.data)} bytes\n{case.data.hex()}")
            report = run([case], setting, Report())
        else:
            _warm_up(kinds, setting)
            report, started = Report(), time.perf_counter()
            with contextlib.suppress(KeyboardInterrupt):  # the table shows how far it came
                for number in range(args.first, args.first + args.cases):
                    current.value = number
                    run([case_of(args.seed, number, kinds)], setting, report)
            print(_table(report, time.perf_counter() - started))
    for alike in _alike(report.failures):
        print(f"\n{len(alike)} FAILED:", end=" ")
        _show(alike[0], args)
    sys.exit(1 if report.failures else 0)


def _warm_up(kinds: list[str], setting: Any) -> None:
    """Seeds without damage must be right; the second time, kernels are loaded."""
    from tests.fuzz.runner import Report, run, undamaged

    for _ in range(2):
        report = run(undamaged(kinds), setting, Report())
    if report.failures:
        sys.exit(f"seeds without damage fail: {report.failures}")


def _table(report: Any, seconds: float) -> str:
    count = sum(sum(totals.outcomes.values()) for totals in report.totals.values())
    lines = [
        f"{count:,} cases in {seconds:.1f} s, {count / seconds:.0f} a second",
        f"{'kind':<15}{'cases':>8}{'CPU s':>8}{'worst s':>9}{'worst MiB':>11}  outcomes",
    ]
    for name, totals in sorted(report.totals.items(), key=lambda item: -item[1].seconds):
        outcomes = ", ".join(f"{key} {n:,}" for key, n in totals.outcomes.most_common())
        lines.append(
            f"{name:<15}{sum(totals.outcomes.values()):>8,}{totals.seconds:>8.1f}"
            f"{totals.worst_seconds:>9.2f}{totals.worst_bytes / 2**20:>11.1f}  {outcomes}"
        )
    return "\n".join(lines)


def _alike(failures: list[Any]) -> list[list[Any]]:
    """Returns failures by kind, operation, and the place in the code where they came up."""
    groups: dict[Any, list[Any]] = {}
    for failure in failures:
        case, places = failure.case, re.findall(r'File ".*?", line \d+', failure.reason)
        key = case.kind, case.operation, tuple(places[-2:]) or re.sub(r"\d+", "", failure.reason)
        groups.setdefault(key, []).append(failure)
    return list(groups.values())


def _show(failure: Any, args: argparse.Namespace) -> None:
    case = failure.case
    SAVED.mkdir(parents=True, exist_ok=True)
    path = SAVED / f"{case.kind}.{case.operation}.{case.seed}-{case.number}"
    path.write_bytes(case.data)
    print(f"{case.kind}, {case.operation}, {len(case.data)} bytes, saved as {path}")
    print(f"{command(case.seed, case.number, args.kind)}\n{failure.reason}")


def command(seed: str, number: int, kinds: list[str]) -> str:
    chosen = f" --kind {' '.join(kinds)}" if kinds else ""
    return f"python -m tests.fuzz --seed {seed} --case {number}{chosen}"
