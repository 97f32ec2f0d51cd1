"""What the documentation says is true: examples run, commands exist, links and paths resolve."""

from __future__ import annotations

import doctest
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import lmcompress
from experiments import levels
from lmcompress.benchmark.records import read_rows
from lmcompress.cli.main import lmcompress as program
from lmcompress.cli.main import main
from lmcompress.report.tables import replace_between_markers
from lmcompress.report.totals import break_even_bytes
from tools import cli_page, man_page, readme, readme_picture
from tools.headline import read_rates, read_speeds

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "results").glob("*.md")),
    ]
}
EXAMPLES = {
    name: "\n".join(blocks)
    for name, page in PAGES.items()
    if (blocks := re.findall(r"```python\n(.*?)```", page, re.DOTALL))
}
SHELL = "\n".join(
    block
    for page in PAGES.values()
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", page, re.DOTALL)
)
COMMANDS = sorted(
    set(re.findall(r"(?:^|\$ | -m |/bin/)lmcompress (\w+)([^#\n]*)", SHELL, re.MULTILINE))
)


def test_readme_can_be_read_in_three_minutes() -> None:
    assert len(README.splitlines()) <= 130


def test_readme_opens_with_the_two_lines() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv ")]

    assert len(lines) == 2
    assert lines[0].endswith(" && .venv/bin/lmcompress demo")
    assert lines[1].endswith(" && .venv/bin/python -m pytest -q -n 2")
    assert [line for line in README.splitlines() if "-m pytest" in line] == lines[1:]
    assert README.index(lines[1]) < README.index("\n## Results\n")


@pytest.mark.parametrize("text", [*EXAMPLES.values(), lmcompress.__doc__], ids=[*EXAMPLES, "help"])
def test_documented_python_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(text, {}, "documentation", None, None)
    report: list[str] = []
    results = doctest.DocTestRunner().run(test, out=report.append)

    assert results.attempted > 0
    assert results.failed == 0, "".join(report)


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed: it comes with [dev]")
def test_documented_python_is_typed(tmp_path: Path) -> None:
    """As a user's mypy sees it; what torch and its like declare is left out, for it takes long."""
    config = tmp_path / "mypy.ini"
    config.write_text(
        "[mypy]\nstrict = True\nfollow_imports = silent\n"
        "[mypy-torch.*,numba.*,llvmlite.*,tokenizers.*]\nfollow_imports = skip\n"
        "[mypy-datasets.*]\nignore_missing_imports = True\n",
        "utf-8",
    )
    scripts = []
    for name, text in EXAMPLES.items():
        scripts.append(tmp_path / f"{Path(name).stem.lower()}_example.py")
        examples = doctest.DocTestParser().get_examples(text)
        scripts[-1].write_text("".join(example.source for example in examples), "utf-8")

    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", config, "--cache-dir", tmp_path, *scripts],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("command", "arguments"), COMMANDS, ids=lambda value: value.strip())
def test_documented_command_has_its_options(
    command: str, arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0

    text = capsys.readouterr().out
    for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", arguments.split("|")[0]):
        assert re.search(rf"{option}\b", text), option


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    folder = (ROOT / name).parent
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", PAGES[name])
    for link in filter(None, sum(links, ())):
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


def anchors(page: str) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_code_that_pages_name_exists(name: str) -> None:
    named = re.findall(r"`((?:lmcompress|experiments|tests|tools|docs)/[\w./-]*\w/?)`", PAGES[name])
    modules = re.findall(r"-m ((?:experiments|tools)\.\w+)", PAGES[name])
    paths = [ROOT / module.replace(".", "/") for module in modules]

    assert [path for path in named if not (ROOT / path).exists()] == []
    runs = (path.with_suffix(".py").exists() or (path / "__main__.py").exists() for path in paths)
    assert all(runs)


def test_commands_page_is_what_help_prints() -> None:
    page = cli_page.PAGE.read_text("utf-8")

    assert cli_page.page_text(page) == page, "run python -m tools.cli_page"


def test_files_that_help_names_exist() -> None:
    named = set(re.findall(r"\bexamples/[\w./-]+", PAGES["docs/cli.md"]))

    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_man_page_is_what_help_prints() -> None:
    assert man_page.PAGE.read_text("utf-8") == man_page.page_text(), "run python -m tools.man_page"


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_man_page_is_read_without_warnings() -> None:
    command = ["groff", "-ww", "-man", "-Tutf8", man_page.PAGE]
    done = subprocess.run(command, capture_output=True, check=True)

    assert done.stderr == b""
    shown = " ".join(re.sub(r"\x1b\[\d*m|.\x08", "", done.stdout.decode()).split())
    for name in program.commands:
        assert f"{name} [OPTIONS]" in shown


def test_predictor_in_the_docs_is_the_example() -> None:
    page = PAGES["docs/prove.md"]
    code = (ROOT / "examples" / "prove" / "ngram.py").read_text("utf-8")

    assert replace_between_markers(page, "ngram", f"```py\n{code}```") == page


def test_levels_in_the_docs_are_those_on_record() -> None:
    rows = read_rows(ROOT / "results" / levels.NAME / "records.jsonl")
    page = levels.PAGE.read_text("utf-8")

    assert levels.page_text(page, rows) == page, "run python -m experiments.levels --derive"
    assert [row["level"] for row in rows] == [
        " ".join(f"-{number}" for number in numbers) for numbers in levels.distinct().values()
    ]


def test_readme_table_is_that_of_the_records() -> None:
    assert readme.readme_text(README) == README, "run python -m tools.readme"


def test_readme_shows_the_size_on_record() -> None:
    [record] = (
        row
        for row in read_rates()
        if (row.codec, row.corpus) == ("lmc-3m", "canterbury/alice29.txt")
    )

    shown = f"alice29.txt: {record.raw_bytes} -> {record.compressed_bytes} bytes, "
    assert f"{shown}{record.bits_per_byte:.3f} bits per byte\n" in README


def test_break_even_by_hand() -> None:
    """At 44 MB a file takes as much with lmc-3m and its bytes as with xz."""
    raw = break_even_bytes(read_rates(), "lmc-3m", "xz-9e")
    totals = {"lmc-3m": 1_010_422, "xz-9e": 1_516_260}  # of the ten files, 6,726,761 bytes
    ours, xz = (totals[codec] * raw / 6_726_761 for codec in totals)

    assert raw == pytest.approx(44.1e6, rel=0.01)
    assert ours + 3_315_840 == pytest.approx(xz, rel=0.01)


@pytest.mark.parametrize("theme", readme_picture.THEMES, ids=lambda theme: theme.name)
def test_picture_is_that_of_the_records(theme: readme_picture.Theme, tmp_path: Path) -> None:
    readme_picture.write(read_speeds(), tmp_path)
    drawn, committed = (
        readme_picture.paths(folder)[theme].read_text("utf-8")
        for folder in (tmp_path, readme_picture.FOLDER)
    )

    assert texts(drawn) == texts(committed), "run python -m tools.readme"
    assert dots(drawn) == pytest.approx(dots(committed), abs=0.5), "run python -m tools.readme"


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<\n]+)</text>", svg)


def dots(svg: str) -> list[float]:
    found = re.findall(r"<use [^>]*x=\"([\d.]+)\" y=\"([\d.]+)\"", svg)
    return [float(number) for place in found for number in place]


def test_labels_of_the_picture_do_not_overlap() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = readme_picture.draw(read_speeds(), readme_picture.THEMES[0])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        lines = [line for line in axes.lines if line.get_marker() == "o"]
        dots = [axes.transData.transform(line.get_xydata()[0]) for line in lines]

        assert len(boxes) == len(dots) == 10
        assert sum(box.count_overlaps(boxes) for box in boxes) == len(boxes)  # each with itself
        assert not any(box.contains(*dot) for box in boxes for dot in dots)
        assert all(axes.bbox.padded(1).contains(*box.min) for box in boxes)
        assert all(axes.bbox.padded(1).contains(*box.max) for box in boxes)
