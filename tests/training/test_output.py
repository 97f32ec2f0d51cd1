"""What training writes: whole files that others may read, or one line that says why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lmcompress.errors import LmcompressError
from lmcompress.training.trainer import train
from tests.support.training_run import make_config

FULL_DISK = """
import resource, sys
from lmcompress.cli.main import main
import lmcompress.training.trainer
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, -1))
sys.exit(main(["train", "--config", sys.argv[1], "--out", sys.argv[2], "--device", "cpu"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_is_one_line_and_leaves_no_part_of_a_state(tmp_path: Path) -> None:
    make_config(tmp_path)
    out = tmp_path / "out"
    out.mkdir()

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "tiny-run.toml", out],
        capture_output=True,
        text=True,
        check=False,
    )

    errors = [line for line in done.stderr.splitlines() if not line.startswith("lmcompress: {")]
    assert done.returncode == 1
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith(f"lmcompress: cannot write {out / 'training.safetensors'}: ")
    assert "File too large" in errors[0]
    assert {path.name for path in out.iterdir()} <= {"log.jsonl"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.jsonl").symlink_to("/dev/full")

    with pytest.raises(LmcompressError, match=r"cannot write .*log\.jsonl: No space left"):
        train(make_config(tmp_path), tmp_path / "out", "cpu")


@pytest.mark.skipif(sys.platform == "win32", reason="permission bits are POSIX's")
def test_what_training_writes_is_readable_for_whom_the_umask_lets(tmp_path: Path) -> None:
    train(make_config(tmp_path), tmp_path / "out", "cpu")

    (tmp_path / "usual").touch()
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "out").iterdir()}
    assert len(modes) == 4
    assert set(modes.values()) == {(tmp_path / "usual").stat().st_mode}, modes
