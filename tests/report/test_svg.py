"""Figures become part of the page: ids of their own, greys between the page's ink and paper."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from lmcompress.errors import LmcompressError
from lmcompress.report.svg import inline_svg

SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">
<metadata>who made it</metadata><defs><style>*{stroke: red}</style>
<clipPath id="p1"><path id="m1" style="fill: #ffffff; stroke: #000000"/></clipPath></defs>
<g clip-path="url(#p1)"><use xlink:href="#m1" style="fill: #0072b2"/></g></svg>"""


def fill(color: str) -> str:
    """Returns what a fill of this color becomes."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><path style="fill: {color}"/></svg>'
    path = ElementTree.fromstring(inline_svg(svg, "x-", "a figure"))[0]
    return path.attrib["style"].removeprefix("fill: ")


def test_an_inlined_figure_has_ids_of_its_own_and_a_label() -> None:
    root = ElementTree.fromstring(inline_svg(SVG, "x-", 'a "label"'))
    text = ElementTree.tostring(root, encoding="unicode")

    assert root.get("aria-label") == 'a "label"'
    assert {e.get("id") for e in root.iter() if e.get("id")} == {"x-p1", "x-m1"}
    for part in ("url(#x-p1)", 'href="#x-m1"', "fill: var(--paper)", "stroke: var(--ink)"):
        assert part in text


def test_metadata_and_style_sheet_are_left_out() -> None:
    inlined = inline_svg(SVG, "x-", "a figure")

    assert "who made it" not in inlined
    assert "red" not in inlined


@pytest.mark.parametrize(
    ("grey", "share_of_ink"), [("#1a1a1a", 90), ("#404040", 75), ("#808080", 50), ("#e5e5e5", 10)]
)
def test_a_dark_grey_has_much_of_the_pages_ink(grey: str, share_of_ink: int) -> None:
    assert fill(grey) == f"color-mix(in srgb, var(--ink) {share_of_ink}%, var(--paper))"


def test_black_is_ink_white_is_paper_blue_the_pages_and_other_colours_stay() -> None:
    assert fill("#000000") == "var(--ink)"
    assert fill("#FFFFFF") == "var(--paper)"
    assert fill("#0072B2") == "var(--blue)"
    assert fill("#e69f00") == "#e69f00"


@pytest.mark.parametrize("text", ["", "<svg", "<html/>"])
def test_what_is_not_an_svg_is_refused(text: str) -> None:
    with pytest.raises(LmcompressError, match="a figure"):
        inline_svg(text, "x-", "a figure")
