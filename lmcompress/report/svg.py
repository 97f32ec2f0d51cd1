"""SVG files made part of an HTML page: ids of their own, greys between the page's ink and paper."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from lmcompress.errors import LmcompressError

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_GREY = re.compile(r"#([0-9a-f]{2})\1\1\b", re.IGNORECASE)
_LEFT_OUT = {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}
"""Matplotlib's style sheet would hold for the whole page; the page's own says the same."""


def inline_svg(svg: str, prefix: str, label: str) -> str:
    """Returns an SVG element to stand in HTML, without script, style sheet and metadata.

    Args:
      svg: The file's text.
      prefix: Begins every id, so that those of two figures on a page differ.
      label: What the figure shows, for those who do not see it.

    Raises:
      LmcompressError: If it is no SVG.
    """
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as exc:
        raise LmcompressError(f"found no SVG in the figure of {label!r}: {exc}") from exc
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
    """Returns a style whose greys are mixed from --ink and --paper, whatever these are."""
    return _GREY.sub(lambda match: _mixed(int(match[1], 16)), style)


def _mixed(grey: int) -> str:
    if grey in (0, 255):
        return "var(--paper)" if grey else "var(--ink)"
    return f"color-mix(in srgb, var(--ink) {100 - grey / 2.55:.0f}%, var(--paper))"
