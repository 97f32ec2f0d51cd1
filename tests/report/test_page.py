"""The page of results: whole, nothing fetched, nothing invented, and generic over folders."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lmcompress.cli import report
from lmcompress.report import provenance, sentences
from lmcompress.report.declared import declared_beside
from lmcompress.report.markdown import FOLDED_ROWS, html
from lmcompress.report.page import build_page
from lmcompress.report.results import frame_of, read_results
from tests.support.command_line import Run, assert_one_line_error

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "br", "img", "hr", "input"}
ROW = {
    "corpus": "a.txt", "corpus_sha256": "c0ffee" * 10 + "abcd", "raw_bytes": 1234567,
    "codec": "tiny", "codec_version": "format 1", "fingerprint": "beef" * 8,
    "round_trip_ok": True, "git_commit": "0123456789abcdef", "git_dirty": True,
    "command": "python -m experiments.table_1", "machine": "a machine",
    "run_id": "20250102T030405Z-abcdef", "lmcompress_version": "9.9.9",
}  # fmt: skip
SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">
<metadata>who made it</metadata><defs><style>*{stroke: red}</style>
<clipPath id="p1"><path id="m1" style="fill: #ffffff; stroke: #000000"/></clipPath></defs>
<g clip-path="url(#p1)"><use xlink:href="#m1" style="fill: #0072b2; stroke: #808080"/></g></svg>"""


class Elements(HTMLParser):
    """The elements of a page; fails on those that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.found if name in attrs]


def add(results: Path, name: str, table: str = "", rows: tuple[dict[str, Any], ...] = ()) -> Path:
    folder = results / name
    folder.mkdir(parents=True)
    if table:
        (folder / "table.md").write_text(table)
    if rows:
        (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A results folder beside scripts: two with results, one without, one that nobody declared."""
    scripts = tmp_path / "experiments"
    scripts.mkdir()
    (scripts / "__init__.py").write_text(
        "EXPERIMENTS: dict[str, str] = "
        "{'speed': 'How fast it is', 'table_1': 'Table 1: rates', 'growth': 'Time by size'}\n"
        "GROUPS: dict[str, tuple[str, ...]] = {'The paper': ('table_1',), 'Time': ('growth',)}\n"
        "CAPTIONS: dict[str, str] = {'table_1/rates': 'What each codec takes.'}\n"
    )
    (scripts / "table_1.py").write_text('"""Who is best?\n\n    run me\n\nBy bytes."""\n1 / 0\n')
    results = tmp_path / "results"
    table = "A note.\n\n| who | size |\n| --- | ---: |\n| we | 1 |\n| Llama (published) | 2 |\n"
    folder = add(results, "table_1", table, (ROW,))
    (folder / "rates.svg").write_text(SVG)
    (folder / "rates.png").write_bytes(b"png")
    (folder / "only.png").write_bytes(b"png")
    add(results, "speed", rows=({**ROW, "git_dirty": False},))
    add(results, "aside", "# Heading\n\n<b>bold</b>\n")
    (results / "quick" / "table_1").mkdir(parents=True)
    (results / "LOG.md").write_text(
        "# Log\n\n## Failed\n\nSee [it](table_1/table.md), [x](x.md).\n"
    )
    return results


def test_groups_first_then_as_declared_then_the_undeclared(checkout: Path) -> None:
    results = read_results(checkout)

    assert [group.heading for group in results.groups] == ["The paper", "Other experiments"]

    assert [one.name for one in results.experiments] == ["table_1", "speed", "aside"]
    titles = ["Table 1: rates", "How fast it is", "Aside"]
    assert [one.title for one in results.experiments] == titles
    assert results.missing == {"growth": "Time by size"}


def test_the_question_is_the_scripts_whose_code_does_not_run(checkout: Path) -> None:
    experiment = read_results(checkout).experiments[0]

    assert experiment.question == "Who is best?"
    assert experiment.method == "    run me\n\nBy bytes."


def test_a_figure_comes_once_and_as_svg_where_there_is_one(checkout: Path) -> None:
    figures = read_results(checkout).experiments[0].figures

    assert [figure.path.name for figure in figures] == ["only.png", "rates.svg"]
    assert [figure.caption for figure in figures] == ["only", "What each codec takes."]


def test_the_page_has_tables_figures_sources_and_what_is_missing(checkout: Path) -> None:
    page = build_page(read_results(checkout))

    for part in (
        "Who is best?", "A note.", '<svg xmlns="http', "data:image/png;base64,cG5n",
        ROW["corpus_sha256"], ROW["fingerprint"], "0123456789ab+", "1,234,567", "a machine",
        "2025-01-02", "python -m experiments.table_1", "lmcompress 9.9.9", "time by size",
        "lmcompress reproduce growth", "lmcompress reproduce speed", "What each codec takes.",
    ):  # fmt: skip
        assert part.lower() in page.lower(), part


def test_published_rows_are_marked_and_no_other(checkout: Path) -> None:
    page = build_page(read_results(checkout))

    assert re.findall(r'<tr class="published">\n<th[^>]*>(.*?)</th>', page) == ["Llama (published)"]
    assert "Rows like this" in page
    (checkout / "table_1" / "table.md").write_text("| a |\n| --- |\n| we |\n")
    assert "Rows like this" not in build_page(read_results(checkout))


def test_markdown_brings_no_html_and_headings_below_the_sections(checkout: Path) -> None:
    page = build_page(read_results(checkout))

    assert "&lt;b&gt;bold" in page
    assert "<h3>Heading" in page
    assert "<h3>Failed" in page


def test_links_lead_to_a_place_on_the_page_or_nowhere(checkout: Path) -> None:
    page = build_page(read_results(checkout))

    assert '<a href="#table_1">it</a>' in page
    assert "x.md" not in page


@pytest.mark.parametrize("made", [True, False], ids=["made", "committed"])
def test_the_page_is_well_formed_and_fetches_nothing(checkout: Path, made: bool) -> None:
    page = Elements(build_page(read_results(checkout if made else ROOT / "results")))

    links = page.values("href") + page.values("xlink:href")
    ids = Counter(page.values("id"))
    assert [value for value in page.values("src") if not value.startswith("data:image/")] == []
    assert {link for link in links if link[0] == "#" and link[1:] not in ids} == set()
    assert {tag for tag, _ in page.found} & {"link", "iframe", "object", "embed"} == set()
    assert [name for name, count in ids.items() if count > 1] == []
    assert all("alt" in attrs for tag, attrs in page.found if tag == "img")
    assert all(
        "aria-label" in attrs for tag, attrs in page.found if tag == "svg" and "role" in attrs
    )


def test_the_committed_results_are_all_on_the_page() -> None:
    results = read_results(ROOT / "results")
    page = build_page(results)

    folders = {path.parent.name for path in (ROOT / "results").glob("*/table.md")}
    assert {one.name for one in results.experiments} >= folders
    for one in results.experiments:
        assert f'<section id="{one.name}"' in page
        assert (
            page.count(f'id="{one.name}-{one.figures[0].path.stem}-') > 0 if one.figures else True
        )
    assert page == build_page(read_results(ROOT / "results"))


def test_every_committed_experiment_has_a_title_a_group_and_captions() -> None:
    results = read_results(ROOT / "results")
    declared = declared_beside(ROOT / "results")
    grouped = [name for names in declared.groups.values() for name in names]
    drawn = {
        f"{one.name}/{figure.path.stem}" for one in results.experiments for figure in one.figures
    }

    assert sorted(grouped) == sorted(declared.titles)
    assert {one.name for one in results.experiments} <= set(declared.titles)
    assert drawn == set(declared.captions), "each figure needs a caption in experiments/__init__.py"
    for caption in declared.captions.values():
        assert caption.endswith(".")
        assert len(caption.split()) >= 8, f"{caption!r} is no sentence"


def test_the_page_opens_on_a_summary_with_links_to_what_it_says(checkout: Path) -> None:
    page = build_page(read_results(ROOT / "results"))

    assert page.index('<section id="summary"') < page.index('<section id="default_against')
    opening = page[page.index('<section id="summary"') : page.index('<p class="chapter">')]
    assert opening.count("<li><b>") == len(sentences._SENTENCES)
    assert "<b>lmcompress (lmc-3m)</b>" in opening.replace("strong>", "b>")
    assert "rate-against-speed" in opening


def test_a_folder_of_other_experiments_has_a_summary_without_table(checkout: Path) -> None:
    page = build_page(read_results(checkout))

    opening = page[page.index('<section id="summary"') : page.index('<p class="chapter">')]
    assert "3 experiments with 2 records, 2 of them" in opening
    assert "<table>" not in opening
    assert "What was found" not in opening


def test_long_tables_are_folded_under_a_line_that_tells_rows_and_columns() -> None:
    rows = "".join(f"| codec-{i} | {i} |\n" for i in range(FOLDED_ROWS))
    short = f"| codec | size |\n| --- | ---: |\n{rows}"

    assert "<details" not in html(short, ())
    folded = html(f"{short}| one more | 1 |\n", ())
    assert f"<summary>Show all {FOLDED_ROWS + 1} rows, with codec and size</summary>" in folded
    Elements(folded)


def test_of_many_columns_the_first_are_named() -> None:
    columns = [f"c{i}" for i in range(9)]
    line = f"|{'|'.join(columns)}|\n|{'---|' * 9}\n" + f"|{'1|' * 9}\n" * (FOLDED_ROWS + 1)

    assert "with c0, c1, c2, c3, c4, c5 and 3 more columns<" in html(line, ())


def test_sources_are_counted_by_run_and_named_once() -> None:
    other = {"file": "b.bin", "corpus_sha256": "d", "fingerprint": "0" * 32, "command": "c"}
    rows = [ROW, ROW, other]

    assert [(run.command, run.num_records) for run in provenance.runs_of(rows)] == [
        ("c", 1), (ROW["command"], 2),
    ]  # fmt: skip
    assert [corpus.name for corpus in provenance.corpora_of(rows)] == ["a.txt", "b.bin"]
    assert provenance.models_of(rows) == {ROW["fingerprint"]: ["tiny"]}
    assert provenance.num_decoded(rows) == 2
    assert provenance.last_date(rows) == "2025-01-02"


def test_a_frame_has_every_record_with_its_experiment(checkout: Path) -> None:
    frame = frame_of(read_results(checkout))

    assert list(frame["experiment"]) == ["table_1", "speed"]
    assert list(frame["raw_bytes"]) == [1234567, 1234567]


def test_report_writes_the_page_once(run: Run, checkout: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.html"
    argv = ["report", "--results", checkout, "-o", output]

    assert run(*argv).code == 0
    assert output.read_text("utf-8") == build_page(read_results(checkout))
    assert_one_line_error(run(*argv), "out.html exists: pass -f")
    assert run(*argv, "-f").code == 0


def test_report_takes_the_results_here_before_those_of_the_checkout(
    run: Run, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout.parent)
    assert b"Who is best?" in run("report", "-o", "-").stdout

    monkeypatch.setattr(report, "_CHECKOUT_RESULTS", checkout)
    monkeypatch.chdir(checkout)
    assert b"Who is best?" in run("report", "-o", "-").stdout


def test_nothing_to_report_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "_CHECKOUT_RESULTS", tmp_path / "none")

    assert_one_line_error(run("report"), "found no results in results", "lmcompress reproduce")
    assert_one_line_error(run("report", "--results", tmp_path / "x"), "found no results in")
    assert not (tmp_path / "lmcompress-report.html").exists()


def test_a_damaged_record_is_one_line(run: Run, checkout: Path) -> None:
    (checkout / "speed" / "records.jsonl").write_text("{}\n[1\n{}\n")

    assert_one_line_error(run("report", "--results", checkout, "-o", "-"), "records.jsonl, line 2")
