"""The page of `explain` in a real browser: it loads, tells what it should, and fits the screen.

Needs playwright and Chromium; screenshots are kept in the folder that LMCOMPRESS_SCREENSHOTS names.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcompress import CodecConfig
from lmcompress.codec.costs import ByteCosts, byte_costs
from lmcompress.models.store import Model
from lmcompress.report.explaining.page import build_page
from tests.report.test_explaining import HOSTILE
from tests.support import browser as browser_support
from tests.support.browser import FITS, SCREENS, keep
from tests.support.command_line import TEXT

RAW = b"Call me Ishmael. Some years ago, call me Ishmael.\n" * 3 + TEXT + HOSTILE * 2


@pytest.fixture
def costs(tiny_model: Model) -> list[ByteCosts]:
    return [byte_costs(RAW, name, CodecConfig(lanes=1)) for name in ("tiny", "none")]


def opened(browser: Any, path: Path, built: str, **screen: Any) -> tuple[Any, list[str]]:
    return browser_support.opened(browser, path, built, ready="body[data-ready=yes]", **screen)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("show", ["0", "1", "both", "difference"])
def test_a_hostile_text_is_shown_whole_and_fits(
    browser: Any, costs: list[ByteCosts], tmp_path: Path, screen: str, show: str
) -> None:
    built = build_page("a.txt", costs)
    shown, errors = opened(browser, tmp_path / "page.html", built, **SCREENS[screen])

    shown.locator(f"input[name=show][value='{show}']").check()
    shown.locator("#text").scroll_into_view_if_needed()

    assert shown.evaluate(FITS)
    assert shown.locator("#text script, #text img").count() == 0
    text = shown.locator("#text").inner_text()
    assert "<script>alert(1)</script>" in text
    assert "⟨U+202E⟩" in text
    assert "⟨FF⟩" in text
    keep(shown, f"explain-{screen}-{show}")
    assert errors == []
    shown.close()


@pytest.mark.parametrize("unit", ["character", "word", "line"])
def test_pieces_cover_the_text_and_their_costs_are_those_on_record(
    browser: Any, costs: list[ByteCosts], tmp_path: Path, unit: str
) -> None:
    built = build_page("a.txt", costs[:1])
    shown, errors = opened(browser, tmp_path / "page.html", built, **SCREENS["desktop"])
    shown.locator(f"input[name=unit][value='{unit}']").check()

    edges = shown.locator("#text .unit").evaluate_all(
        "all => all.map(one => [Number(one.dataset.from), Number(one.dataset.to)])"
    )
    assert [edges[0][0], edges[-1][1]] == [0, len(RAW)]
    assert all(a[1] == b[0] for a, b in itertools.pairwise(edges))

    sums = np.concatenate(([0.0], np.cumsum(costs[0].trace.bits)))
    for k in (0, 3, len(edges) - 1):
        shown.locator("#text .unit").nth(k).hover()
        start, stop = edges[k]
        said = shown.locator("#said").inner_text()
        bits = float(said.split(" bits")[0].split()[-1])
        assert bits == pytest.approx(sums[stop] - sums[start], abs=0.06)
    assert errors == []
    shown.close()


def test_arrow_keys_move_from_piece_to_piece(
    browser: Any, costs: list[ByteCosts], tmp_path: Path
) -> None:
    built = build_page("a.txt", costs[:1])
    shown, errors = opened(browser, tmp_path / "page.html", built, **SCREENS["desktop"])

    shown.locator("#text").focus()
    seen = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        shown.keyboard.press(key)
        seen.append(shown.locator("#said").inner_text())

    assert "Call" in seen[0]
    assert "space" in seen[1]
    assert "me" in seen[2]
    assert seen[3] == seen[1]
    assert f"{len(RAW):,}" in seen[4]
    assert shown.locator(".unit.at").count() == 1
    assert errors == []
    shown.close()


def test_a_click_on_the_curve_leads_to_its_place(
    browser: Any, tiny_model: Model, tmp_path: Path
) -> None:
    """Also where the blocks on the way have yet to be filled, and their heights were guessed."""
    raw = (TEXT + b"\n") * 60
    built = build_page("a.txt", [byte_costs(raw, "none", CodecConfig(lanes=1))])
    shown, errors = opened(browser, tmp_path / "page.html", built, **SCREENS["desktop"])
    shown.locator("#text").scroll_into_view_if_needed()
    box = shown.locator(".along svg").bounding_box()

    shown.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    shown.wait_for_timeout(500)

    at = int(shown.locator("#said").inner_text().split()[1].replace(",", ""))
    piece = shown.locator(".unit.at").bounding_box()
    assert at == pytest.approx(0.8 * len(raw), abs=0.02 * len(raw))
    assert 0 <= piece["y"] <= 900
    assert errors == []
    shown.close()


def test_a_mouse_at_rest_does_not_point(
    browser: Any, costs: list[ByteCosts], tmp_path: Path
) -> None:
    built = build_page("a.txt", costs[:1])
    shown, errors = opened(browser, tmp_path / "page.html", built, **SCREENS["desktop"])
    shown.locator("#text .unit").nth(4).hover()
    pointed_at = shown.locator("#said").inner_text()

    shown.evaluate("window.scrollBy(0, 60)")
    shown.wait_for_timeout(500)

    assert shown.locator("#said").inner_text() == pointed_at
    assert errors == []
    shown.close()


def test_without_a_network_its_share_cannot_be_asked_for(
    browser: Any, costs: list[ByteCosts], tmp_path: Path
) -> None:
    for one, is_offered in zip(costs, (True, False), strict=True):
        built = build_page("a.txt", [one])
        shown, errors = opened(browser, tmp_path / "page.html", built, **SCREENS["desktop"])

        assert shown.locator("#alone-choice").is_visible() is is_offered
        assert errors == []
        shown.close()


def test_a_wide_table_shows_that_it_goes_on(
    browser: Any, costs: list[ByteCosts], tmp_path: Path
) -> None:
    built = build_page("a.txt", costs)
    shown, errors = opened(browser, tmp_path / "page.html", built, **SCREENS["phone"])
    box = shown.locator(".scroll[aria-label='Sums']")

    assert "more" in str(box.get_attribute("class"))
    box.evaluate("box => box.scrollTo(box.scrollWidth, 0)")
    shown.wait_for_selector(".scroll[aria-label='Sums']:not(.more)")
    assert errors == []
    shown.close()
