"""The command `report`: writes all results as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from lmcompress.cli.options import force_option, quiet_option
from lmcompress.cli.progress import say
from lmcompress.cli.streams import STANDARD, open_output
from lmcompress.format.wire import write_all

_CHECKOUT_RESULTS = Path(__file__).resolve().parents[2] / "results"


@click.command(
    short_help="Write all results as one HTML page.",
    epilog="Example: lmcompress report -o results.html",
)
@click.option(
    "-o", "--output", metavar="FILE", default="lmcompress-report.html", show_default=True,
    help="Output file; - is stdout.",
)  # fmt: skip
@click.option(
    "--results", "folder", metavar="DIR", type=click.Path(path_type=Path),
    help="Folder of results.  [default: results, here or in the checkout]",
)  # fmt: skip
@force_option
@quiet_option
def report(output: str, folder: Path | None, force: bool, quiet: bool) -> int:
    """Write one HTML page with the tables, figures and sources of all experiments.

    The page opens on a summary of what was found. It is self-contained: it works offline and
    without other files. Experiments without results are listed with the command that runs them.
    """
    from lmcompress.report.page import build_page
    from lmcompress.report.results import has_results, read_results

    if folder is None:
        here = Path("results")
        folder = _CHECKOUT_RESULTS if not has_results(here) and _CHECKOUT_RESULTS.is_dir() else here
    results = read_results(folder)
    page = build_page(results).encode()
    with open_output(output, source=STANDARD, force=force) as target:
        write_all(target, page)
    say(
        f"{output}: {len(results.experiments)} experiments, {len(results.missing)} missing, "
        f"{len(page):,} bytes",
        quiet=quiet,
    )
    return 0
