"""`reproduce` knows every experiment, runs those named, and says what failed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import experiments
from lmcompress.cli import reproduce
from lmcompress.errors import LmcompressError
from tests.support.command_line import Run, assert_one_line_error

FOLDER = Path(experiments.__file__).parent
NO_EXPERIMENTS = {"gpu"}


def test_every_script_is_declared_and_every_declared_one_is_there() -> None:
    scripts = {
        path.stem
        for path in FOLDER.glob("*.py")
        if re.search(r"^def main\(", path.read_text("utf-8"), re.MULTILINE)
    }

    assert set(experiments.EXPERIMENTS) == scripts - NO_EXPERIMENTS


def test_only_those_said_to_lack_it_have_no_quick_form() -> None:
    lacking = {
        name
        for name in experiments.EXPERIMENTS
        if '"--quick"' not in (FOLDER / f"{name}.py").read_text("utf-8")
    }

    assert lacking == experiments.WITHOUT_QUICK


def test_list_names_all(run: Run) -> None:
    lines = run("reproduce", "--list").stdout.decode().splitlines()

    assert [line.split()[0] for line in lines] == list(experiments.EXPERIMENTS)
    assert set(experiments.NEEDS) <= set(experiments.EXPERIMENTS)
    for line in lines:
        needs = experiments.NEEDS.get(line.split()[0])
        assert line.endswith(f"({needs})") if needs else "(" not in line


def test_unknown_name_has_the_nearest(run: Run) -> None:
    result = run("reproduce", "figure3")

    assert_one_line_error(result, "did you mean figure_3?", "known are default_against_classical")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that declares the experiments, but has none yet, and nothing to compare with."""
    (tmp_path / "experiments" / "support").mkdir(parents=True)
    (tmp_path / "experiments" / "support" / "quick_rates.py").touch()
    shutil.copy(experiments.__file__, tmp_path / "experiments")
    monkeypatch.setattr(reproduce, "_ROOT", tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path


def test_what_failed_is_named_and_the_rest_still_runs(run: Run, checkout: Path) -> None:
    good = "import sys, pathlib; pathlib.Path('ran').write_text(' '.join(sys.argv[1:]))"
    (checkout / "experiments" / "speed.py").write_text("raise SystemExit(3)")
    (checkout / "experiments" / "figure_3.py").write_text(good)

    result = run("reproduce", "speed", "figure_3", "--quick")

    assert result.code == 1
    assert "speed: failed with exit code 3" in result.stderr
    assert "failed: speed;" in result.stderr
    assert (checkout / "ran").read_text() == "--quick"


def test_a_quick_run_forgets_the_rows_of_an_earlier_one(run: Run, checkout: Path) -> None:
    (checkout / "experiments" / "speed.py").touch()
    stale = checkout / "results" / "quick" / "speed" / "records.jsonl"
    kept = checkout / "results" / "speed" / "records.jsonl"
    for path in (stale, kept):
        path.parent.mkdir(parents=True)
        path.touch()

    assert run("reproduce", "speed", "--quick").code == 0

    assert not stale.exists()
    assert kept.exists()


def test_an_installed_copy_takes_the_checkout_that_it_is_called_in(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "_ROOT", tmp_path)
    monkeypatch.chdir(FOLDER.parent)

    assert "figure_3" in run("reproduce", "--list").stdout.decode()


def test_a_quick_run_of_all_downloads_no_model(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run_one(_root: Path, name: str, *_args: object) -> bool:
        ran.append(name)
        return True

    monkeypatch.setattr(reproduce, "_run", run_one)
    monkeypatch.setattr(reproduce, "_is_as_committed", lambda *_: True)

    said = run("reproduce", "--quick").stderr
    run("reproduce", "pretrained", "--quick")

    left_out = experiments.WITHOUT_QUICK | experiments.DOWNLOADS
    assert ran == [n for n in experiments.EXPERIMENTS if n not in left_out] + ["pretrained"]
    assert "left out pretrained: it downloads a model" in said


def test_a_wheel_has_no_experiments(tmp_path: Path) -> None:
    with pytest.raises(LmcompressError, match="expected a checkout"):
        reproduce._declared_experiments(tmp_path)
