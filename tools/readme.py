"""Writes what the README shows of results/: its table, and its picture in light and dark.

python -m tools.readme [--png FOLDER]
"""

from __future__ import annotations

from pathlib import Path

import click

from lmcompress.errors import LmcompressError
from lmcompress.report.tables import replace_between_markers
from tools import readme_picture, readme_table
from tools.headline import ROOT, read_rates, read_speeds

README = ROOT / "README.md"


def readme_text(text: str) -> str:
    """Returns the README with the table that the records give."""
    table = readme_table.markdown(read_rates(), read_speeds())
    return replace_between_markers(text, readme_table.NAME, table)


@click.command()
@click.option(
    "--png", type=Path, metavar="FOLDER", help="Write the picture as PNG too, to look at."
)
def main(png: Path | None) -> None:
    """Writes the table into README.md and the picture into docs/images."""
    try:
        README.write_text(readme_text(README.read_text("utf-8")), "utf-8", newline="\n")
        readme_picture.write(read_speeds())
        if png:
            readme_picture.write(read_speeds(), png, ".png")
    except (LmcompressError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


if __name__ == "__main__":
    main()
