"""Damages inputs and looks at what comes of it.

    python -m tests.fuzz --cases 20000 --seed monday
    python -m tests.fuzz --seed monday --case 1234

The cases run in a process of their own. This one watches it: it may hang or die in compiled code.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys

from tests.fuzz.worker import command, work

HANG_SECONDS = 60
"""A case under way for longer than this, by the clock, hangs."""


def main() -> int:
    """Returns the exit code: 0 if no case failed."""
    args = _arguments()
    context = multiprocessing.get_context("spawn")
    current = context.Value("q", -1, lock=False)
    worker = context.Process(target=work, args=(args, current))
    worker.start()
    while worker.is_alive():
        before = current.value
        worker.join(HANG_SECONDS)
        if worker.is_alive() and current.value == before >= 0 and worker.pid:
            os.kill(worker.pid, signal.SIGABRT)  # prints where it is
            worker.join()
    if worker.exitcode and worker.exitcode != 1:
        print(f"died with {worker.exitcode} in {command(args.seed, current.value, args.kind)}")
    return 1 if worker.exitcode else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="how many to run")
    parser.add_argument("--seed", default="1", help="any text: with a number, it determines a case")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="run one case and show it")
    parser.add_argument("--kind", nargs="+", default=[], help="kinds of input; all by default")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
