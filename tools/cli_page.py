"""Writes the reference in docs/cli.md from what each command's --help prints.

python -m tools.cli_page
"""

from __future__ import annotations

import click

from lmcompress.cli.main import lmcompress
from lmcompress.errors import LmcompressError
from lmcompress.report.tables import replace_between_markers
from tools.headline import ROOT

NAME = "commands"
PAGE = ROOT / "docs" / "cli.md"
_WIDTH = 88
"""Columns of the help texts, whatever the terminal's."""


def page_text(text: str) -> str:
    """Returns the page with the help of all commands between its markers."""
    return replace_between_markers(text, NAME, reference())


def reference() -> str:
    """Returns a section for each command, in the order of `lmcompress --help`."""
    parent = _context(lmcompress, None)
    sections = [
        f"## {name}\n\n```text\n{_context(command, parent).get_help()}\n```"
        for name in lmcompress.list_commands(parent)
        if (command := lmcompress.get_command(parent, name))
    ]
    return "\n\n".join(sections)


def _context(command: click.Command, parent: click.Context | None) -> click.Context:
    # A width of its own: otherwise click asks the terminal.
    return click.Context(
        command,
        info_name=command.name,
        parent=parent,
        terminal_width=_WIDTH,
        help_option_names=["-h", "--help"],
    )


@click.command()
def main() -> None:
    """Brings docs/cli.md up to date."""
    try:
        PAGE.write_text(page_text(PAGE.read_text("utf-8")), "utf-8", newline="\n")
    except (LmcompressError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc


if __name__ == "__main__":
    main()
