"""The command line as a process: pipes, signals, limits, and what it imports."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lmcompress
from lmcompress.models.store import Model
from tests.support.command_line import TEXT

SEGMENT_BYTES = 65536
COMMAND = [sys.executable, "-m", "lmcompress"]


@pytest.fixture
def environment(tiny_model_root: Path) -> dict[str, str]:
    return {
        **os.environ,
        "LMCOMPRESS_MODELS": str(tiny_model_root),
        "PYTHONPATH": str(Path(lmcompress.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }


def start(
    argv: list[str], environment: dict[str, str], cwd: Path
) -> subprocess.Popen[bytes]:  # fmt: skip
    return subprocess.Popen(
        [*COMMAND, *argv],
        env=environment,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def shell(command: str, environment: dict[str, str], cwd: Path) -> tuple[int, bytes, str]:
    """Runs a line with $LMC as the program; returns exit code, stdout and stderr."""
    environment = {**environment, "LMC": " ".join(COMMAND)}
    done = subprocess.run(["sh", "-c", command], env=environment, cwd=cwd, capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode()


posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell and signals")


@posix_only
def test_pipe_round_trips_with_nothing_on_stderr(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "book").write_bytes(TEXT)

    line = "$LMC compress - -m none < book | $LMC -d"

    assert shell(line, environment, tmp_path) == (0, TEXT, "")
    assert [path.name for path in tmp_path.iterdir()] == ["book"]


@posix_only
@pytest.mark.usefixtures("sigint_heeded")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupt_in_the_middle_leaves_no_file(
    environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    argv = ["compress", "-", "-o", "out.lmc", "-m", "none", "--segment-bytes", str(SEGMENT_BYTES)]
    raw = random.Random(1).randbytes(SEGMENT_BYTES)
    with start(argv, environment, tmp_path) as process:
        assert process.stdin is not None
        for _ in range(3):  # a pipe holds one: the first is compressed when the last is taken
            process.stdin.write(raw)
            process.stdin.flush()
        temporary = list(tmp_path.iterdir())

        process.send_signal(getattr(signal, name))
        stdout, stderr = process.communicate()

    assert len(temporary) == 1
    assert list(tmp_path.iterdir()) == []
    assert (process.returncode, stdout) == (130, b"")
    assert stderr.decode().split() == ["lmcompress:", "interrupted"]


@posix_only
def test_full_disk_is_one_line_and_leaves_no_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "raw").write_bytes(random.Random(2).randbytes(10_000))

    # A limit on the size of files fails as a full disk does: in the middle of a write.
    code, stdout, stderr = shell("ulimit -f 8; $LMC compress raw -m none", environment, tmp_path)

    assert (code, stdout) == (1, b"")
    assert stderr == "lmcompress: raw: cannot write raw.lmc: File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "command", ["compress - -m none < book", "models", "models --json", "--help"]
)
def test_full_stdout_is_one_line(environment: dict[str, str], tmp_path: Path, command: str) -> None:
    (tmp_path / "book").write_bytes(TEXT)

    code, _, stderr = shell(f"$LMC {command} > /dev/full", environment, tmp_path)

    assert code == 1
    assert stderr.startswith("lmcompress: ")
    assert (stderr.count("\n"), "No space left on device" in stderr) == (1, True)


@posix_only
def test_reader_that_goes_away_is_no_error_message(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "raw").write_bytes(random.Random(3).randbytes(100_000))

    line = "{ $LMC compress -c raw -m none; echo $? >code; } | head -c 4"

    assert shell(line, environment, tmp_path) == (0, b"\x89LMC", "")
    assert (tmp_path / "code").read_text() == "1\n"


@posix_only
def test_closed_stdout_does_not_crash(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "book").write_bytes(TEXT)

    assert shell("$LMC models >&-", environment, tmp_path)[0::2] == (0, "")
    code, _, stderr = shell("$LMC compress -c book -m none >&-", environment, tmp_path)
    assert (code, stderr.count("\n"), "stdout is closed" in stderr) == (1, 1, True)


IMPORTS = """
import sys
from lmcompress.cli.main import main
code = main(sys.argv[1:])
heavy = {"torch", "numba", "numpy", "pandas", "matplotlib"}
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def heavy_imports(argv: list[str], environment: dict[str, str], cwd: Path) -> list[str]:
    command = [sys.executable, "-c", IMPORTS, *argv]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, check=True)
    assert done.stdout
    return done.stderr.decode().split()


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["bench", "--help"], ["models"]])
def test_command_without_work_imports_nothing_heavy(
    environment: dict[str, str], tmp_path: Path, argv: list[str]
) -> None:
    assert heavy_imports(argv, environment, tmp_path) == []


def test_info_does_not_import_torch(
    environment: dict[str, str], tmp_path: Path, tiny_model: Model
) -> None:
    (tmp_path / "book.lmc").write_bytes(lmcompress.compress(TEXT, tiny_model))

    assert heavy_imports(["info", "book.lmc"], environment, tmp_path) == []
