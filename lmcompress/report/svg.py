"""SVG files inlined in an HTML page: unique ids, greys and blue that follow the page's theme."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from lmcompress.errors import LmcompressError

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_GREY = re.compile(r"#([0-9a-f]{2})\1\1\b", re.IGNORECASE)
_BLUE = re.compile("#0072b2", re.IGNORECASE)
"""Too dark on a dark page."""
_LEFT_OUT = {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}
"""Matplotlib's style sheet would apply to the whole page, which has an equivalent one."""


def inline_svg(svg: str, prefix: str, label: str) -> str:
    """Returns an SVG element for use in HTML, without style sheet and metadata.

    Args:
      svg: The file's text.
      prefix: Start of every id, so that two figures on a page have different ids.
      label: What the figure shows, for screen readers.

    Raises:
      LmcompressError: If the text is not an SVG.
    """
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as exc:
        raise LmcompressError(f"the figure of {label!r} is not an SVG: {exc}") from exc
    if root.tag != f"{{{_SVG}}}svg":
        raise LmcompressError(f"found {root.tag} in the figure of {label!r}, expected an SVG")
    for element in root.iter():
        for child in [child for child in element if child.tag in _LEFT_OUT]:
            element.remove(child)
        _rename_ids(element, prefix)
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
    root.set("role", "img")
    root.set("aria-label", label)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _rename_ids(element: ElementTree.Element, prefix: str) -> None:
    for name, value in element.attrib.items():
        if name == "id":
            element.set(name, prefix + value)
        elif name in ("href", f"{{{_XLINK}}}href") and value.startswith("#"):
            element.set(name, f"#{prefix}{value[1:]}")
        elif "url(#" in value:
            element.set(name, value.replace("url(#", f"url(#{prefix}"))


def _themed(style: str) -> str:
    """Returns a style with the page's --blue, and greys mixed from its --ink and --paper."""
    return _BLUE.sub("var(--blue)", _GREY.sub(lambda match: _mixed(int(match[1], 16)), style))


def _mixed(grey: int) -> str:
    if grey in (0, 255):
        return "var(--paper)" if grey else "var(--ink)"
    return f"color-mix(in srgb, var(--ink) {100 - grey / 2.55:.0f}%, var(--paper))"
