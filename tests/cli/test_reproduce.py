"""`reproduce` knows every experiment, runs those named, and says what failed."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import experiments
from lmcompress import corpora
from lmcompress.benchmark.minutes import remember_minutes
from lmcompress.benchmark.records import append_rows
from lmcompress.cli import reproduce
from lmcompress.cli.needs import Needs
from lmcompress.corpora import Corpus, CorpusLibrary
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
    *lines, empty, total = run("reproduce", "--list").stdout.decode().splitlines()

    assert empty == ""
    assert re.search(r"Timed in full: .* rows in .* minutes\.$", total)
    assert [line.split()[0] for line in lines[::2]] == list(experiments.EXPERIMENTS)
    assert set(experiments.NEEDS) <= set(experiments.EXPERIMENTS)
    for title, details in zip(lines[::2], lines[1::2], strict=True):
        needs = experiments.NEEDS.get(title.split()[0])
        assert re.match(r" +(no texts|[\d,]+ texts?, [\d,.]+ MB: \d)", details)
        assert needs is None or needs in details


def test_unknown_name_has_the_nearest(run: Run) -> None:
    result = run("reproduce", "figure3")

    assert_one_line_error(result, "did you mean figure_3?", "known are default_against_classical")


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_each_text_that_an_experiment_names_is_among_its_needs(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    named = {text.partition("@")[0] for text in texts if isinstance(text, str)}
    known = set(corpora.names())

    declared = {
        corpus.name
        for quick in (False, True)
        for corpus in Needs.of(FOLDER.parent, quick=quick).corpora_of(name)
    }

    assert named & known <= declared


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CorpusLibrary:
    """A library of one text that is here, one that can be downloaded from nowhere, one homeless."""
    (tmp_path / "here").write_bytes(b"text")
    fields = 4, "0" * 64
    registry = {
        name: Corpus(name, *fields, name, home, "free", "prose", "test")
        for name, home in (("here", ""), ("far", "http://127.0.0.1:9/far"), ("homeless", ""))
    }
    library = CorpusLibrary(registry, tmp_path / "cache", tmp_path)
    monkeypatch.setattr(corpora, "default_library", lambda: library)
    return library


NEEDS = """
TEXTS = {"figure_3": ("here",), "speed": ("here", "homeless"), "table_1": ("far",)}
QUICK_TEXTS = {"figure_3": ("here",)}
EXTRAS = {"paper": ("json",), "odd": ("no_such_package",)}
MORE_EXTRAS = {"growth": ("odd",)}
"""


NOTHING_NEEDED = """
TEXTS = QUICK_TEXTS = MORE_EXTRAS = {}
EXTRAS = {"paper": ()}
"""


def test_packages_are_those_of_the_extras() -> None:
    extras = Needs.of(FOLDER.parent, quick=False).extras
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text("utf-8"))["project"]
    declared = project["optional-dependencies"]
    imported = importlib.metadata.packages_distributions()

    def names(extra: str) -> Iterator[str]:
        for requirement in declared[extra]:
            if requirement.startswith("lmcompress["):
                for other in re.findall(r"\w+", requirement.partition("[")[2]):
                    yield from names(other)
            else:
                yield re.match(r"[\w-]+", requirement)[0].lower()

    installed = {name.lower().replace("_", "-") for found in imported.values() for name in found}
    for extra, packages in extras.items():
        known = [imported[package][0] for package in packages if package in imported]
        found = {name.lower().replace("_", "-") for name in known}
        assert found == set(names(extra)) & installed  # not all of them need be installed


@pytest.mark.usefixtures("shelf")
def test_what_cannot_be_had_is_left_out_by_name_and_the_rest_runs(
    run: Run, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "experiments" / "needs.py").write_text(NEEDS)
    for name in experiments.EXPERIMENTS:
        (checkout / "experiments" / f"{name}.py").touch()

    result = run("reproduce")
    named = run("reproduce", "figure_3", "growth")

    assert result.code == 0, result.stderr
    for reason in ("speed: homeless has no public download", "table_1: cannot download far from",
                   "growth: it needs the package no_such_package: pip install"):  # fmt: skip
        assert f"left out {reason}" in result.stderr
    ran = [n for n in experiments.EXPERIMENTS if n not in ("speed", "table_1", "growth")]
    assert re.findall(r"\] (\w+): done", result.stderr) == ran
    assert_one_line_error(named, "growth cannot run: it needs the package no_such_package")
    (checkout / "results" / "speed").mkdir(parents=True)
    append_rows([{"run_id": "a"}] * 2, checkout / "results" / "speed" / "records.jsonl")
    remember_minutes(checkout / "results" / "speed", "a", 90)
    listed = run("reproduce", "--list").stdout.decode()
    assert "2 texts, 0.0 MB: 1 in LMCOMPRESS_DATA, 1 without a public home" in listed
    assert "1 to download" in listed
    assert "without a public home; 2 rows in 1.5 minutes" in listed
    assert "Timed in full: 2 rows in 1.5 minutes." in listed


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that declares the experiments, but has none yet, and nothing to compare with."""
    (tmp_path / "experiments" / "support").mkdir(parents=True)
    (tmp_path / "experiments" / "support" / "quick_rates.py").touch()
    (tmp_path / "experiments" / "needs.py").write_text(NOTHING_NEEDED)
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
    monkeypatch.setattr(reproduce, "_possible", lambda _needs, names, **_: names)

    said = run("reproduce", "--quick").stderr
    run("reproduce", "pretrained", "--quick")

    left_out = experiments.WITHOUT_QUICK | experiments.DOWNLOADS
    assert ran == [n for n in experiments.EXPERIMENTS if n not in left_out] + ["pretrained"]
    assert "left out pretrained: it downloads a model" in said


def test_a_wheel_has_no_experiments(tmp_path: Path) -> None:
    with pytest.raises(LmcompressError, match="expected a checkout"):
        reproduce._declared_experiments(tmp_path)
