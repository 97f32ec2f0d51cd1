"""results/ as one self-contained HTML page: no network, no external fonts or scripts.

The same results give the same page, byte for byte. Text is markdown with HTML turned off, figures
are inlined, and a content security policy in the page forbids the browser to load anything.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import lmcompress
from lmcompress.report import provenance
from lmcompress.report.markdown import has_published_rows, html, inline_html
from lmcompress.report.results import Experiment, Figure, Results
from lmcompress.report.summary import Summary, summary_of
from lmcompress.report.svg import inline_svg
from lmcompress.system.extras import needs_extra

with needs_extra("report", "the page", "jinja2", "markupsafe"):
    import jinja2
    from markupsafe import Markup

_ASSETS = "assets"
_DOCUMENTS = {"README.md": "How to read the numbers", "LOG.md": "What was tried and did not help"}
"""File -> title on the page."""


class Section(NamedTuple):
    """What the template shows about an experiment."""

    experiment: Experiment
    finding: Markup
    """Empty if no sentence says what it found."""
    method: Markup
    table: Markup
    figures: Sequence[tuple[str, Markup]]
    """Caption and element."""


class Chapter(NamedTuple):
    """Sections under one heading of the contents."""

    heading: str
    sections: Sequence[Section]


class Opening(NamedTuple):
    """What the template shows above all sections."""

    facts: Summary
    table: Markup
    figures: Sequence[tuple[str, Markup]]
    findings: Sequence[tuple[str, Markup, Experiment]]
    """Lead, sentence, where it comes from."""


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
    names = {one.name for one in results.experiments}
    facts = summary_of(results)
    found = {finding.experiment.name: inline_html(finding.text) for finding in facts.findings}
    chapters = [
        Chapter(group.heading, [_section(one, names, found) for one in group.experiments])
        for group in results.groups
    ]
    tables = [section.table for chapter in chapters for section in chapter.sections]
    return (
        _environment()
        .get_template("page.html")
        .render(
            opening=_opening(facts),
            chapters=chapters,
            has_published=any(map(has_published_rows, tables)),
            missing=results.missing,
            documents=[_document(name, text, names) for name, text in results.documents.items()],
            version=lmcompress.__version__,
            provenance=provenance,
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


def _opening(facts: Summary) -> Opening:
    return Opening(
        facts,
        html(facts.table, (), "Rates and speeds of all codecs"),
        [_drawn(figure, one, "summary-") for one, figure in facts.figures],
        [(one.lead, inline_html(one.text), one.experiment) for one in facts.findings],
    )


def _section(
    experiment: Experiment, names: Collection[str], findings: dict[str, Markup]
) -> Section:
    return Section(
        experiment,
        finding=findings.get(experiment.name, Markup()),
        method=html(experiment.method, names),
        table=html(experiment.table, names, experiment.title, breaks=True),
        figures=[_drawn(figure, experiment) for figure in experiment.figures],
    )


def _drawn(figure: Figure, experiment: Experiment, prefix: str = "") -> tuple[str, Markup]:
    """Returns a caption and an element; `prefix` tells apart two places of one figure."""
    path, caption = figure
    label = f"{experiment.title}: {caption}"
    if path.suffix == ".svg":
        prefix = f"{prefix}{experiment.name}-{path.stem}-"
        return caption, Markup(inline_svg(path.read_text("utf-8"), prefix, label))
    encoded = base64.b64encode(path.read_bytes()).decode()
    image = Markup('<img src="data:image/png;base64,{}" alt="{}">')
    return caption, image.format(encoded, label)


def _document(name: str, text: str, names: Collection[str]) -> Document:
    """Returns a text without its first heading, the other headings one level lower."""
    _, _, rest = text.lstrip().partition("\n")
    anchor = f"document-{name.removesuffix('.md').lower()}"
    return Document(anchor, _DOCUMENTS[name], html(rest, names))
