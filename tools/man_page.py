"""Writes the man page from what --help of each command is made of.

python -m tools.man_page
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from lmcompress import __version__
from tools.cli_page import contexts
from tools.headline import ROOT

PAGE = ROOT / "man" / "lmcompress.1"
_BEGIN = rf"""
.TH LMCOMPRESS 1 "" "lmcompress {__version__}" "User Commands"
.SH NAME
lmcompress \- lossless compression with language models whose arithmetic is exact
.SH SYNOPSIS
.nf
.B lmcompress \fR[\fICOMMAND\fR] [\fIOPTION\fR]... [\fIFILE\fR]...
.fi
.SH DESCRIPTION
"""
_END = r"""
.SH EXIT STATUS
0 if all went well; 1 if something was not done, with a line on stderr for each error; 2 for wrong
usage; 3 if \-\-salvage had to leave something out; 130 if interrupted.
.SH ENVIRONMENT
.TP
.B LMCOMPRESS_MODELS
Folders with models, separated by colons.
.TP
.B OMP_NUM_THREADS
CPU threads, unless \-\-threads says how many.
.TP
.B NUMBA_CACHE_DIR
Folder for compiled kernels, instead of one in the user's cache.
.SH SEE ALSO
.BR gzip (1),
.BR xz (1),
.BR zstd (1)
"""


def page_text() -> str:
    """Returns the page: what `lmcompress --help` says, then a section for each command."""
    root, *commands = contexts()
    lines = [*_description(root), *_options(root), ".SH COMMANDS"]
    for context in commands:
        lines += [f".SS {_escaped(' '.join(_usage(context)))}"]
        lines += [*_description(context), *_options(context), *_paragraph(context.command.epilog)]
    return "\n".join([_BEGIN.strip(), *lines, _END.strip(), ""])


def _usage(context: click.Context) -> list[str]:
    return [context.command.name or "", *context.command.collect_usage_pieces(context)]


def _description(context: click.Context) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(context.command.help or "")):
        yield from _paragraph(paragraph)


def _paragraph(text: str | None) -> tuple[str, str]:
    return ".PP", _escaped(" ".join((text or "").split()))


def _options(context: click.Context) -> Iterator[str]:
    """Yields the options of a command as a list of terms and what they mean."""
    for param in context.command.get_params(context):
        record = param.get_help_record(context)
        if record and isinstance(param, click.Option):
            names, text = record
            yield from (".TP", f".B {_escaped(names)}", _escaped(" ".join(text.split())))


def _escaped(text: str) -> str:
    """Returns text that roff prints as it is."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    return rf"\&{text}" if text.startswith(".") else text


@click.command()
def main() -> None:
    """Brings man/lmcompress.1 up to date."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page_text(), "utf-8", newline="\n")


if __name__ == "__main__":
    main()
