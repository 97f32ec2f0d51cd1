"""results/ as one self-contained HTML page: no network, no external fonts or scripts.

The same results give the same page, byte for byte. Text is markdown with HTML turned off, figures
are inlined, and a content security policy in the page forbids the browser to load anything.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import lmcompress
from lmcompress.report import summary
from lmcompress.report.results import Experiment, Results
from lmcompress.report.svg import inline_svg
from lmcompress.system.extras import needs_extra

with needs_extra("report", "the page", "jinja2", "markdown_it", "markupsafe"):
    import jinja2
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from markupsafe import Markup

_ASSETS = "assets"
_PUBLISHED = re.compile(r"\bpublished\b", re.IGNORECASE)
_PUBLISHED_ROW = '<tr class="published">'
_FOLDER_LINK = re.compile(r"(?:results/)?(\w+)/(?:table\.md)?")


class Section(NamedTuple):
    """What the template shows about an experiment."""

    experiment: Experiment
    method: Markup
    table: Markup
    figures: Sequence[tuple[str, Markup]]
    """Caption and element."""


class Document(NamedTuple):
    """A text about the experiments, such as the log."""

    anchor: str
    title: str
    text: Markup


def build_page(results: Results) -> str:
    """Returns the page.

    Raises:
      LmcompressError: If a figure cannot be read.
    """
    rows = [row for one in results.experiments for row in one.rows]
    names = {one.name for one in results.experiments}
    sections = [_section(one, names) for one in results.experiments]
    return (
        _environment()
        .get_template("page.html")
        .render(
            sections=sections,
            has_published=any(_PUBLISHED_ROW in section.table for section in sections),
            missing=results.missing,
            documents=[_document(text, names) for text in results.documents],
            num_records=len(rows),
            num_decoded=summary.num_decoded(rows),
            last_date=summary.last_date(rows),
            version=lmcompress.__version__,
            summary=summary,
            inlined=_inlined,
        )
    )


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("lmcompress.report", _ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _inlined(name: str) -> Markup:
    """Returns a file of the assets unchanged."""
    return Markup((Path(__file__).parent / _ASSETS / name).read_text("utf-8"))


def _section(experiment: Experiment, names: set[str]) -> Section:
    return Section(
        experiment,
        method=_html(experiment.method, names),
        table=_html(experiment.table, names, experiment.title, breaks=True),
        figures=[_figure(path, experiment) for path in experiment.figures],
    )


def _figure(path: Path, experiment: Experiment) -> tuple[str, Markup]:
    caption = path.stem.replace("-", " ").replace("_", " ")
    label = f"{experiment.title}: {caption}."
    if path.suffix == ".svg":
        prefix = f"{experiment.name}-{path.stem}-"
        return caption, Markup(inline_svg(path.read_text("utf-8"), prefix, label))
    encoded = base64.b64encode(path.read_bytes()).decode()
    image = Markup('<img src="data:image/png;base64,{}" alt="{}">')
    return caption, image.format(encoded, label)


def _document(text: str, names: set[str]) -> Document:
    """Returns a text under its first heading, the other headings one level lower."""
    heading, _, rest = text.lstrip().partition("\n")
    title = heading.lstrip("# ")
    return Document(f"document-{title.lower()}", title, _html(rest, names))


def _html(
    text: str,
    names: set[str],
    table_label: str = "table",
    *,
    top_heading: int = 3,
    breaks: bool = False,
) -> Markup:
    """Returns markdown as HTML.

    Args:
      text: Markdown; HTML in it is shown as text, comments are left out.
      names: The experiments, which are the targets of links.
      table_label: What tables show, for screen readers.
      top_heading: The level of the highest headings.
      breaks: Whether to keep the line breaks of the text.
    """
    parser = MarkdownIt("commonmark", {"html": False, "breaks": breaks}).enable("table")
    tokens = parser.parse(_without_comments(text))
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shift = top_heading - min(levels, default=top_heading)
    for i, token in enumerate(tokens):
        if token.type.startswith("heading"):
            token.tag = f"h{min(int(token.tag[1]) + shift, 6)}"
        elif token.type == "inline":
            _relink(token.children or [], names)
        elif token.type == "tr_open":
            _mark_row(tokens[i:])
        elif token.type == "table_open":
            token.meta["label"] = table_label
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _without_comments(text: str) -> str:
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def _open_table(_renderer: object, tokens: Sequence[Token], i: int, *_: object) -> str:
    """Opens a table in a box that scrolls, also by keyboard."""
    box = Markup('<div class="scroll" role="region" aria-label="{}" tabindex="0"><table>\n')
    return box.format(tokens[i].meta["label"])


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


def _relink(tokens: Sequence[Token], names: set[str]) -> None:
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
            token.attrSet("href", f"#document-{'log' if document[1] == 'LOG' else 'results'}")
        else:
            del token.attrs["href"]
