"""Markdown as HTML for a page: tables that scroll and fold, links that stay on the page.

HTML in the text is shown as text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Sequence

from lmcompress.system.extras import needs_extra

with needs_extra("report", "the page", "markdown_it", "markupsafe"):
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markupsafe import Markup

FOLDED_ROWS = 20
"""Tables with more rows are folded under a line that says what is in them."""
_NAMED_COLUMNS = 7
_TOP_HEADING = 3
"""The level that the highest headings of a text get on the page."""
_PUBLISHED = re.compile(r"\bpublished\b", re.IGNORECASE)
_PUBLISHED_ROW = '<tr class="published">'
_FOLDER_LINK = re.compile(r"(?:results/)?(\w+)/(?:table\.md)?")


def html(
    text: str,
    names: Collection[str],
    table_label: str = "table",
    *,
    breaks: bool = False,
) -> Markup:
    """Returns markdown as HTML.

    Args:
      text: Markdown; HTML in it is shown as text, comments are left out.
      names: The experiments, which are the targets of links.
      table_label: What tables show, for screen readers.
      breaks: Whether to keep the line breaks of the text.
    """
    parser = MarkdownIt("commonmark", {"html": False, "breaks": breaks}).enable("table")
    tokens = parser.parse(_without_comments(text))
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shift = _TOP_HEADING - min(levels, default=_TOP_HEADING)
    for i, token in enumerate(tokens):
        if token.type.startswith("heading"):
            token.tag = f"h{min(int(token.tag[1]) + shift, 6)}"
        elif token.type == "inline":
            _relink(token.children or [], names)
        elif token.type == "tr_open":
            _mark_row(tokens[i:])
        elif token.type == "table_open":
            _describe_table(tokens[i:], table_label)
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", _close_table)
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def inline_html(text: str) -> Markup:
    """Returns a line of markdown as HTML without a paragraph around it."""
    return Markup(MarkdownIt("commonmark", {"html": False}).renderInline(text))


def has_published_rows(rendered: str) -> bool:
    """Whether a table has rows marked as published by others."""
    return _PUBLISHED_ROW in rendered


def _without_comments(text: str) -> str:
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def _describe_table(tokens: Sequence[Token], label: str) -> None:
    """Notes at both ends of a table what it shows, and whether it is folded under a line."""
    end = next(token for token in tokens if token.type == "table_close")
    parts = tokens[: tokens.index(end)]
    num_rows = sum(token.type == "tr_open" for token in parts) - 1
    columns = list(_column_names(parts))
    line = f"Show all {num_rows} rows, with {_listed(columns)}" if num_rows > FOLDED_ROWS else ""
    for token in (tokens[0], end):
        token.meta |= {"label": label, "line": line}


def _column_names(tokens: Sequence[Token]) -> Iterator[str]:
    for before, token in itertools.pairwise(tokens):
        if before.type == "th_open":
            yield token.content


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED_COLUMNS:
        rest = len(names) - _NAMED_COLUMNS + 1
        names = [*names[: _NAMED_COLUMNS - 1], f"{rest} more columns"]
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def _open_table(_renderer: object, tokens: Sequence[Token], i: int, *_: object) -> str:
    """Opens a table in a box that scrolls, also by keyboard."""
    meta = tokens[i].meta
    line = Markup('<details class="rows"><summary>{}</summary>\n').format(meta["line"])
    box = Markup('<div class="scroll" role="region" aria-label="{}" tabindex="0"><table>\n')
    return (line if meta["line"] else Markup()) + box.format(meta["label"])


def _close_table(_renderer: object, tokens: Sequence[Token], i: int, *_: object) -> str:
    return "</table></div>\n" + ("</details>\n" if tokens[i].meta["line"] else "")


def _mark_row(tokens: Sequence[Token]) -> None:
    """Makes a row's first cell its heading, and marks rows of published figures."""
    end = next(i for i, token in enumerate(tokens) if token.type == "tr_close")
    row = tokens[:end]
    if any(token.type == "th_open" for token in row):
        for token in row:
            if token.type == "th_open":
                token.attrSet("scope", "col")
        return
    for token in row[1:4:2]:  # the first cell's opening and closing tag, with its text between them
        token.tag = "th"
    row[1].attrSet("scope", "row")
    if any(_PUBLISHED.search(token.content) for token in row):
        row[0].attrJoin("class", "published")


def _relink(tokens: Sequence[Token], names: Collection[str]) -> None:
    """Points links to files in results/ to their place on the page and drops other links."""
    for token in tokens:
        href = str(token.attrGet("href") or "")
        if token.type != "link_open" or href.startswith(("https:", "http:", "#")):
            continue
        folder = _FOLDER_LINK.fullmatch(href)
        document = re.fullmatch(r"(?:results/)?(README|LOG)\.md", href)
        if folder and folder[1] in names:
            token.attrSet("href", f"#{folder[1]}")
        elif document:
            token.attrSet("href", f"#document-{document[1].lower()}")
        else:
            del token.attrs["href"]
