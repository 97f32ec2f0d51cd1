"""Python programs that run as children, and end when this process does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

# Its standard input is a pipe whose other end only the parent has: it closes when that dies,
# whatever killed it.
_END_WITH_PARENT = """
import os, runpy, sys, threading
def wait():
    os.read(0, 1)
    os._exit(1)
threading.Thread(target=wait, daemon=True).start()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def run_module(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    shows_output: bool,
) -> tuple[int, str]:
    """Runs `python -m module`; returns its exit code and what it wrote to stderr.

    Args:
      module: Name of the module; it may not read standard input.
      arguments: Its arguments.
      environment: Variables to set, besides those of this process.
      shows_output: Whether what it writes to stdout goes to our stderr.
    """
    command = [sys.executable, "-c", _END_WITH_PARENT, module, *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=sys.stderr if shows_output else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
    ) as process:
        assert process.stderr is not None
        try:
            errors = process.stderr.read()
            return process.wait(), errors
        except BaseException:
            process.kill()
            raise
