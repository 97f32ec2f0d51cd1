"""Markdown tables and other text files of an experiment's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmcompress.report.tables import ABSENT, markdown_table


def markdown_of(rows: Sequence[Mapping[str, Any]], note: str, columns: Sequence[str] = ()) -> str:
    """Returns the note, an empty line, and a table with these columns, or one for each key."""
    columns = columns or list(rows[0])
    cells = ([ABSENT if row[c] is None else str(row[c]) for c in columns] for row in rows)
    return f"{note}\n\n{markdown_table(columns, cells)}\n"


def write_texts(texts: Mapping[str, str], folder: Path) -> None:
    """Writes text files by name."""
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8", newline="\n")
