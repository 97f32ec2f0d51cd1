"""What is told while a file is compressed, on a terminal only."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator

import numba
import pytest

from lmcompress.cli import progress

MESSAGE = "compiling kernels for this machine, once: up to a minute\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _nothing_told_yet() -> Iterator[None]:
    progress._tell_once.cache_clear()
    yield
    progress._tell_once.cache_clear()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Makes stderr a terminal when called: pytest sets it again after fixtures."""

    def make() -> Terminal:
        monkeypatch.setattr(sys, "stderr", shown := Terminal())
        return shown

    return make


def compiled(count: int) -> None:
    """Compiles new functions and calls each of them twice."""
    for _ in range(count):
        function = numba.njit(lambda x: x + 1)
        assert function(1) + function(2) == 5


def test_compiling_is_told_once(terminal: Callable[[], Terminal]) -> None:
    shown = terminal()
    for _ in range(2):
        with progress.compiling_told(quiet=False):
            compiled(2)

    assert shown.getvalue() == MESSAGE


def test_code_that_is_compiled_already_is_not_told(terminal: Callable[[], Terminal]) -> None:
    shown = terminal()
    function = numba.njit(lambda x: x + 1)
    function(1)

    with progress.compiling_told(quiet=False):
        function(2)

    assert shown.getvalue() == ""


def test_compiling_is_told_while_a_bar_is_shown(terminal: Callable[[], Terminal]) -> None:
    shown = terminal()
    with progress.byte_progress("book", 100, quiet=False):
        compiled(1)

    assert MESSAGE in shown.getvalue()


@pytest.mark.parametrize("quiet", [True, False])
def test_compiling_is_told_to_nothing_but_a_terminal(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    shown = terminal()
    if not quiet:
        monkeypatch.setattr(shown, "isatty", lambda: False)

    with progress.byte_progress("book", 100, quiet=quiet):
        compiled(1)

    assert shown.getvalue() == ""
