"""Kernels run where nothing can be written, and never from stale machine code."""

from __future__ import annotations

import ast
import errno
import importlib
import inspect
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lmcompress.jit import compiler
from lmcompress.jit.code_cache import CodeFiles, remove_unused
from lmcompress.models.store import folders

PACKAGE = Path(compiler.__file__).parents[1]


@pytest.fixture(autouse=True)
def _fresh_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_cache_folder", compiler._cache_folder.__wrapped__)


def test_a_kernel_compiles_where_no_cache_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))

    with caplog.at_level(logging.WARNING, "lmcompress"):

        @compiler.kernel
        def add_one(x):  # type: ignore[no-untyped-def]
            for i in range(x.shape[0]):
                x[i] += 1

    x = np.zeros(3, np.int64)
    add_one(x)

    assert x.tolist() == [1, 1, 1]
    assert "NUMBA_CACHE_DIR" in caplog.text


def test_a_full_disk_does_not_stop_a_kernel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def save(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(CodeFiles, "save", save)

    @compiler.kernel
    def add_two(x):  # type: ignore[no-untyped-def]
        for i in range(x.shape[0]):
            x[i] += 2

    x = np.zeros(3, np.int64)
    with caplog.at_level(logging.INFO, "lmcompress"):
        add_two(x)

    assert x.tolist() == [2, 2, 2]
    assert "No space left on device" in caplog.text


def test_code_is_found_by_its_whole_key_and_only_as_it_was_written(tmp_path: Path) -> None:
    files = CodeFiles(tmp_path)
    files.save(("int64", "head_dim 32"), [1])
    files.save(("int64", "head_dim 64"), [2])

    assert files.load(("int64", "head_dim 32")) == [1]
    assert files.load(("int64", "head_dim 64")) == [2]
    assert files.load(("int64", "head_dim 128")) is None
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert files.load(("int64", "head_dim 32")) is None
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert files.load(("int64", "head_dim 32")) is None


def test_code_that_nothing_asked_for_in_a_month_is_removed(tmp_path: Path) -> None:
    for name, days in (("mine", 40), ("recent", 20), ("old", 40)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code").touch()
        seconds = time.time() - days * 24 * 3600
        os.utime(tmp_path / name, (seconds, seconds))

    remove_unused(tmp_path / "mine")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "recent"]


def test_without_a_home_kernels_are_compiled_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "LMCOMPRESS_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without an account
    with caplog.at_level(logging.WARNING, "lmcompress"):
        assert compiler._cache_folder() is None
    assert "you have no home folder: set XDG_CACHE_HOME" in caplog.text
    assert "lmc-3m" in folders()


def test_the_cache_is_named_after_the_text_of_all_kernels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    (package / "gpt" / "cpu").mkdir(parents=True)
    (package / "gpt" / "cpu" / "kernels.py").write_text("A = 1\n")
    monkeypatch.setattr(compiler, "__file__", str(package / "jit" / "compiler.py"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))

    before = compiler._cache_folder()
    (package / "gpt" / "cpu" / "kernels.py").write_text("A = 2\n")
    after = compiler._cache_folder()
    (package / "gpt" / "presets.py").write_text("B = 1\n")

    assert before is not None
    assert after is not None
    assert before != after == compiler._cache_folder()
    assert before.parent == after.parent == tmp_path / "cache"


INTERRUPTED = """
import signal, sys
from numba.core import codegen

signal.signal(signal.SIGINT, signal.default_int_handler)
real, is_first = codegen.CPUCodeLibrary.__dict__["_object_compiled_hook"].__func__, [True]

def hook(cls, module, code):
    if is_first and is_first.pop():
        signal.raise_signal(signal.SIGINT)  # where it arrives that came while LLVM worked
    return real(cls, module, code)

codegen.CPUCodeLibrary._object_compiled_hook = classmethod(hook)
from lmcompress.jit.compiler import kernel

@kernel
def add_one(x):
    return x + 1

hook_before = sys.unraisablehook
try:
    print(add_one(1))
except KeyboardInterrupt:
    print("interrupted", add_one(1), sys.unraisablehook is hook_before)
"""


@pytest.mark.parametrize("has_cache", [True, False])
def test_an_interrupt_while_llvm_compiles_is_raised(has_cache: bool, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    program = tmp_path / "interrupted.py"
    program.write_text(INTERRUPTED, "utf-8")
    folder = tmp_path if has_cache else tmp_path / "file" / "below"

    done = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "interrupted 2 True\n"
    assert "Traceback" not in done.stderr


def test_without_a_compiler_the_variable_to_unset_is_named(tmp_path: Path) -> None:
    (tmp_path / "book").write_bytes(b"text")

    done = subprocess.run(
        [sys.executable, "-m", "lmcompress", "compress", "-m", "none", "-c", tmp_path / "book"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "NUMBA_DISABLE_JIT is set" in done.stderr


NOT_IN_KERNELS = {"lmcompress.gpt.reference"}
"""What the files that the cache is named after import for functions that are not compiled."""


def test_every_source_of_the_cache_is_there() -> None:
    assert [source for source in compiler._SOURCES if not (PACKAGE / source).exists()] == []


def test_kernels_inline_nothing_that_the_cache_is_not_named_after() -> None:
    """A class or a plain function cannot end up in machine code; a module or a constant can."""
    named = [PACKAGE / source for source in compiler._SOURCES]
    files = [file for path in named for file in ([path] if path.is_file() else path.rglob("*.py"))]
    modules = {_module_name(file) for file in files}

    inlined = {
        f"{home}.{name}"
        for file in files
        for home, name in _imports_from_lmcompress(file)
        if home not in modules and f"{home}.{name}" not in modules
        if not inspect.isclass(value := _value(home, name)) and not inspect.isfunction(value)
    }

    assert inlined == NOT_IN_KERNELS


def _module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def _imports_from_lmcompress(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("lmcompress") for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None, "a relative import"
            if node.module.split(".")[0] == "lmcompress":
                yield from ((node.module, alias.name) for alias in node.names)


def _value(home: str, name: str) -> object:
    """Returns what a name imports, which may be a module that nobody has imported yet."""
    module = importlib.import_module(home)
    if not hasattr(module, name):
        return importlib.import_module(f"{home}.{name}")
    return getattr(module, name)


STEP = "        x = (x * 31 + n) % 1009\n"
"""So many of these that no compiler puts the function into its callers."""
CLOSURES = f"""
import sys
from lmcompress.jit.compiler import device_function, kernel

def mixer(n):
    @device_function
    def first(x):
        return x + n

    @kernel
    def mix(x):
{STEP * 100}        return x

    @kernel
    def mixed(x):
        return mix(first(x)) + mix(x)

    return mixed

mixers = [mixer(int(n)) for n in sys.argv[1:]]
print([f(1) for f in mixers], sum(sum(f.stats.cache_hits.values()) for f in mixers))
"""


def mixed(n: int) -> int:
    """Returns what the kernel of a number gives for 1."""
    first, second = 1 + n, 1
    for _ in range(100):
        first, second = (first * 31 + n) % 1009, (second * 31 + n) % 1009
    return first + second


def printed_by_closures(folder: Path, *numbers: int) -> str:
    """Runs kernels of these numbers in a process; returns what they give and how many it found."""
    program = folder / "closures.py"
    program.write_text(CLOSURES, "utf-8")
    return subprocess.run(
        [sys.executable, program, *map(str, numbers)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_next_process_finds_kernels_that_close_over_others(tmp_path: Path) -> None:
    assert printed_by_closures(tmp_path, 1, 2) == f"[{mixed(1)}, {mixed(2)}] 0\n"
    assert printed_by_closures(tmp_path, 1, 2) == f"[{mixed(1)}, {mixed(2)}] 2\n"


def test_kernels_of_two_processes_are_not_taken_for_each_other(tmp_path: Path) -> None:
    assert printed_by_closures(tmp_path, 1) == f"[{mixed(1)}] 0\n"
    assert printed_by_closures(tmp_path, 2) == f"[{mixed(2)}] 0\n"
    assert printed_by_closures(tmp_path, 1, 2) == f"[{mixed(1)}, {mixed(2)}] 2\n"


def test_a_kernel_may_not_close_over_what_no_name_tells_apart() -> None:
    table = np.arange(10_000)

    with pytest.raises(TypeError, match="closes over"):

        @compiler.kernel
        def look(i):  # type: ignore[no-untyped-def]
            return table[i]
