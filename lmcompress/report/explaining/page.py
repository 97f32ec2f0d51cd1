"""The page itself: tables and a curve that need no script, and a text that the script colors.

No byte of the text is written as HTML: the script gets it packed and shows it as text, so that
mark-up, controls of direction and broken characters are seen and do nothing. A content security
policy forbids the browser to load anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lmcompress
from lmcompress.codec.costs import STORED, ByteCosts
from lmcompress.errors import LmcompressError
from lmcompress.report.explaining import summary
from lmcompress.report.explaining.packing import has_tokens, layout, packed
from lmcompress.system.extras import needs_extra

with needs_extra("report", "the page", "jinja2", "markupsafe"):
    import jinja2
    from markupsafe import Markup

MAX_BYTES = 4_000_000
"""A page of more would take browsers minutes."""
MAX_MODELS = 2
_ASSETS = Path(__file__).parents[1] / "assets"
_CURVE_WIDTH, _CURVE_HEIGHT = 1000, 100
SPEAKERS_SAY = {
    "network": "the GPT, which read much text before it saw this one",
    "order 2": "what followed the last 2 bytes before",
    "order 3": "what followed the last 3 bytes before",
    "order 4": "what followed the last 4 bytes before",
    "order 6": "what followed the last 6 bytes before",
    "order 8": "what followed the last 8 bytes before",
    "word": "how words that begin like this one went on before",
    "two words": "what followed the last two words before",
    "column": "what stood in this column, under such a byte, before",
    "line start": "how lines that begin like this one went on before",
    "field": "what stood in this field of a table before",
    "tag": "what followed within the same mark-up tag before",
    "shape": "what followed text of the same shape: digits and letters all alike",
    "match": "a longer passage that came before and seems to be repeated",
    "orders 0 and 1": "how often each byte comes, and what follows the last byte",
    "constant": "a leaning towards some bytes, whatever the text",
    STORED: "nobody: the bytes are written as they are",
}
"""What each predictor goes by, for a reader who has never heard of any."""


def check_input(raw: bytes, name: str) -> None:
    """Raises LmcompressError if the file called `name` is empty, or too large for a page."""
    if not raw:
        raise LmcompressError(f"{name} is empty: there is nothing to explain")
    if len(raw) > MAX_BYTES:
        raise LmcompressError(
            f"{name}: found {len(raw):,} bytes, a page shows {MAX_BYTES:,} at most: take a part, "
            f"as with head -c {MAX_BYTES} FILE > PART"
        )


def build_page(name: str, costs: Sequence[ByteCosts]) -> str:
    """Returns the page about one text.

    Args:
      name: Of the file.
      costs: Under one model or two.
    """
    raw = costs[0].raw
    curves = [summary.curve(one) for one in costs]
    top = max(8.0, *(rate for curve in curves for rate in curve))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("explain.html").render(
        name=summary.visible(name.encode("utf-8", "surrogateescape")),
        raw_bytes=len(raw),
        costs=costs,
        xz_bytes=summary.xz_bytes(raw),
        networks=[one.model for one in costs if one.model.weights is not None],
        network_bits=[summary.network_bits(one) for one in costs],
        has_tokens=has_tokens(costs),
        has_lengths=any(part.length_bytes for one in costs for part in one.segments),
        words=summary.expensive_words(costs),
        kinds=summary.kinds_of_bytes(costs),
        predictors=[summary.predictors(one) for one in costs],
        speakers_say=SPEAKERS_SAY,
        paths=[_path(curve, top) for curve in curves],
        top=top,
        layout=layout(costs),
        data=packed(costs),
        inlined=lambda asset: Markup((_ASSETS / asset).read_text("utf-8")),
        version=lmcompress.__version__,
    )


def _path(rates: Sequence[float], top: float) -> str:
    """Returns a curve as steps, in an SVG of _CURVE_WIDTH by _CURVE_HEIGHT."""
    width = _CURVE_WIDTH / len(rates)
    heights = [f"{_CURVE_HEIGHT * (1 - rate / top):.1f}" for rate in rates]
    steps = [f"V{h}H{width * (i + 1):.1f}" for i, h in enumerate(heights)]
    return f"M0 {heights[0]}" + "".join(steps)
