"""The page of results in a real browser: what it opens on, what stays in view, and that it fits.

Needs playwright and Chromium; screenshots are kept in the folder that LMCOMPRESS_SCREENSHOTS names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcompress.report.page import build_page
from lmcompress.report.results import read_results
from tests.support.browser import FITS, SCREENS, keep, opened

RESULTS = Path(__file__).resolve().parents[2] / "results"
BLOCKS = "main p, main li, main h2, main h3, main summary, main pre, figcaption, .scroll"
CONTENTS = "nav details .contents"
MISSING = "–"  # noqa: RUF001
"""What stands where there is no figure."""


@pytest.fixture(scope="module")
def built() -> str:
    return build_page(read_results(RESULTS))


@pytest.fixture(params=SCREENS)
def shown(request: Any, browser: Any, built: str, tmp_path: Path) -> Iterator[Any]:
    """The page on each screen; whatever is done with it must make no error."""
    page, errors = opened(browser, tmp_path / "page.html", built, **SCREENS[request.param])
    page.screen = request.param
    yield page
    page.close()
    assert errors == []


def is_in_view(page: Any, selector: str) -> bool:
    box = page.locator(selector).bounding_box()
    return bool(box) and 0 <= box["y"] < page.viewport_size["height"] - box["height"] / 2


def go_to(page: Any, anchor: str) -> None:
    page.evaluate(f"document.getElementById('{anchor}').scrollIntoView()")
    page.wait_for_selector(f"nav a[href='#{anchor}'][aria-current]", state="attached")


def test_it_opens_on_the_summary_with_the_headline_table(shown: Any) -> None:
    keep(shown, f"report-{shown.screen}", full_page=False)

    assert shown.locator("main section").first.get_attribute("id") == "summary"
    assert is_in_view(shown, "#summary-title")
    assert shown.locator("#summary table").first.bounding_box()["y"] < 844
    assert "lmcompress (lmc-3m)" in shown.locator("#summary table tbody tr").first.inner_text()


def test_nothing_overflows_with_all_that_is_folded_open(shown: Any) -> None:
    assert shown.evaluate(FITS)
    shown.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")

    assert shown.evaluate(FITS)
    wide = shown.evaluate(
        f"""[...document.querySelectorAll('{BLOCKS}')]
        .filter((one) => one.getBoundingClientRect().right > window.innerWidth + 1)
        .filter((one) => !one.parentElement.closest('.scroll'))
        .map((one) => one.textContent.slice(0, 60))"""
    )
    assert wide == []


def test_the_contents_stay_in_view_and_say_where_the_reader_is(shown: Any) -> None:
    for anchor in ("table_1", "speed", "document-log"):
        go_to(shown, anchor)

        assert is_in_view(shown, "nav summary")
        if shown.screen == "phone":
            assert not shown.locator(CONTENTS).is_visible()
            title = shown.locator(f"#{anchor}-title").inner_text()
            assert title in shown.locator("#here").inner_text()
        else:
            assert is_in_view(shown, f"nav a[href='#{anchor}']")
        assert shown.locator("nav a[aria-current]").count() == 1


def test_contents_lead_to_a_section_whose_title_can_be_seen(shown: Any) -> None:
    if shown.screen == "phone":
        shown.locator("nav summary").click()
    keep(shown, f"report-{shown.screen}-contents", full_page=False)
    shown.locator("nav a[href='#figure_2']").click()

    shown.wait_for_selector("nav a[href='#figure_2'][aria-current]", state="attached")
    title = shown.locator("#figure_2-title").bounding_box()
    bar = shown.locator("nav summary").bounding_box()
    assert 0 <= title["y"] < shown.viewport_size["height"] / 2
    if shown.screen == "phone":
        assert title["y"] >= bar["y"] + bar["height"], "the bar covers the title"
        assert not shown.locator(CONTENTS).is_visible()


@pytest.mark.parametrize("shown", ["desktop"], indirect=True)
def test_every_link_of_the_summary_leads_to_a_section(shown: Any) -> None:
    anchors = shown.locator("#summary .findings a").evaluate_all("all => all.map((a) => a.hash)")

    assert len(anchors) >= 10
    assert all(shown.locator(f"section{anchor}").count() == 1 for anchor in anchors)


def test_a_wide_table_shows_that_it_goes_on_once_it_is_unfolded(shown: Any) -> None:
    section = shown.locator("#adaptive_ablation")
    box = section.locator("details.rows .scroll")
    assert not box.is_visible()

    section.locator("details.rows > summary").click()

    assert box.is_visible()
    shown.wait_for_selector("#adaptive_ablation details.rows .scroll.more")
    box.evaluate("one => one.scrollTo(one.scrollWidth, 0)")
    shown.wait_for_selector("#adaptive_ablation details.rows .scroll:not(.more)")


@pytest.mark.parametrize("shown", ["desktop"], indirect=True)
def test_a_table_is_sorted_by_the_column_that_is_selected(shown: Any) -> None:
    table = shown.locator("#summary table").first
    button = table.locator("th", has_text="decompress").get_by_role("button")
    for descending in (False, True):
        button.click()

        speeds = table.locator("tbody td:last-child").all_inner_texts()
        numbers = [int(speed.replace(",", "")) for speed in speeds if speed != MISSING]
        assert len(numbers) >= 8
        assert numbers == sorted(numbers, reverse=descending)
        assert set(speeds[len(numbers) :]) <= {MISSING}, "a row without a speed is not at the end"
