"""Tables with a row for each byte, as files that pandas, spreadsheets and numpy read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from lmcompress.format.wire import write_all
from lmcompress.system.extras import needs_extra

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Table = Mapping[str, npt.NDArray[np.generic]]


def write_table(table: Table, name: str, sink: BinaryIO) -> None:
    """Writes columns of equal length in the format that the ending of `name` asks for.

    Raises:
      MissingDependencyError: If that takes a package that is not installed.
    """
    write_all(sink, FORMATS[ending_of(name)](table))


def ending_of(name: str) -> str:
    """Returns the ending of a table's name; raises BadParameter if it is none of FORMATS."""
    ending = Path(name).suffix.lower()
    if ending not in FORMATS:
        raise click.BadParameter(f"{name!r} does not end in one of {', '.join(FORMATS)}")
    return ending


def check_can_write(name: str) -> None:
    """Raises MissingDependencyError, before any work, if a table cannot be written here."""
    if ending_of(name) == ".parquet":
        _pyarrow()


def _csv(table: Table) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
    return text.getvalue().encode()


def _npz(table: Table) -> bytes:
    import numpy as np

    sink = io.BytesIO()
    np.savez_compressed(sink, **dict(table))  # type: ignore[arg-type]
    return sink.getvalue()


def _parquet(table: Table) -> bytes:
    arrow, parquet = _pyarrow()
    sink = io.BytesIO()
    parquet.write_table(arrow.table({name: arrow.array(c) for name, c in table.items()}), sink)
    return sink.getvalue()


def _pyarrow() -> tuple[Any, Any]:
    with needs_extra("tables", "a table that ends in .parquet", "pyarrow"):
        import pyarrow
        import pyarrow.parquet
    return pyarrow, pyarrow.parquet


FORMATS: dict[str, Callable[[Table], bytes]] = {".parquet": _parquet, ".csv": _csv, ".npz": _npz}
"""What writes a table, by the ending of its name."""
