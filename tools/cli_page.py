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
    sections = [
        f"## {context.command.name}\n\n```text\n{context.command.get_help(context)}\n```"
        for context in contexts()[1:]
    ]
    return "\n\n".join(sections)


def contexts() -> list[click.Context]:
    """Returns a context for `lmcompress` itself, then one for each of its commands, in order."""
    root = _context(lmcompress, None)
    names = lmcompress.list_commands(root)
    return [root, *(_context(lmcompress.commands[name], root) for name in names)]


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
