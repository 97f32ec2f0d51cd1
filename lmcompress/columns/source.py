"""Tables as they are read: batch after batch, never whole."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lmcompress.errors import LmcompressError, MissingDependencyError, did_you_mean
from lmcompress.system.extras import needs_extra

HUB = "hf:"
BATCH_ROWS = 64
"""Records of a batch, which is what one thread or node works on at a time."""
_JSON_LINES = (".jsonl", ".ndjson")


def arrow() -> Any:
    """Returns the package pyarrow; raises MissingDependencyError without it."""
    with needs_extra("tables", "a table", "pyarrow"):
        return importlib.import_module("pyarrow")


class Table(NamedTuple):
    """A table that is being read."""

    schema: Any
    batches: Iterator[Any]
    """`pyarrow.RecordBatch`es of at most BATCH_ROWS records, at least one."""


def read_table(name: str) -> Table:
    """Begins to read a table.

    Args:
      name: A .parquet, .jsonl or .ndjson file, or hf:NAME:CONFIG:SPLIT, a Hugging Face dataset that
        is read while it is downloaded; an empty CONFIG is its default.

    Raises:
      LmcompressError: If it cannot be read, or has no records.
      MissingDependencyError: Without pyarrow, or datasets for what begins with hf:.
    """
    batches = _batches(name)
    first = next(batches, None)
    if first is None:
        raise LmcompressError(f"{name} is empty, expected at least one record")
    return Table(first.schema, itertools.chain([first], batches))


def _batches(name: str) -> Iterator[Any]:
    try:
        for table in _tables(name):
            yield from _split(table)
    except (LmcompressError, MissingDependencyError, OSError):
        raise
    except Exception as exc:  # datasets and its backends raise errors of many libraries
        raise LmcompressError(
            f"cannot read {name} as a table ({' '.join(str(exc).split())})"
        ) from exc


def _tables(name: str) -> Iterator[Any]:
    if name.startswith(HUB):
        yield from _hub(name)
        return
    pyarrow, ending = arrow(), Path(name).suffix.lower()
    if ending == ".parquet":
        parquet = importlib.import_module("pyarrow.parquet")
        with parquet.ParquetFile(name) as file:
            yield from file.iter_batches(BATCH_ROWS)
    elif ending in _JSON_LINES:
        with open(name, "rb") as source:
            yield from importlib.import_module("pyarrow.json").open_json(pyarrow.PythonFile(source))
    else:
        raise LmcompressError(
            f"cannot read {name} as a table: expected a .parquet, .jsonl or .ndjson file, or "
            "hf:NAME:CONFIG:SPLIT"
        )


def _hub(name: str) -> Iterator[Any]:
    parts = name.removeprefix(HUB).split(":")
    if len(parts) != 3:
        raise LmcompressError(f"{name} has {len(parts)} parts, expected hf:NAME:CONFIG:SPLIT")
    dataset, config, split = parts
    with needs_extra("datasets", name, "datasets"):
        datasets: Any = importlib.import_module("datasets")
    stream = datasets.load_dataset(dataset, config or None, split=split, streaming=True)
    for table in stream.with_format("arrow").iter(BATCH_ROWS):
        yield from table.to_batches()


def _split(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, BATCH_ROWS):
        yield batch.slice(start, BATCH_ROWS)


def check_columns(schema: Any, columns: Sequence[str]) -> None:
    """Raises LmcompressError if a table lacks a column, or holds neither text nor bytes in it."""
    types = arrow().types
    is_raw = types.is_string, types.is_large_string, types.is_binary, types.is_large_binary
    for name in columns:
        if name not in schema.names:
            hint = did_you_mean(name, schema.names)
            raise LmcompressError(f"no column {name!r}: {hint}there are {', '.join(schema.names)}")
        kind = schema.field(name).type
        if not any(is_kind(kind) for is_kind in is_raw):
            raise LmcompressError(f"column {name!r} holds {kind}, expected text or bytes")


def check_new_columns(schema: Any, columns: Sequence[str]) -> None:
    """Raises LmcompressError if a table has a column that is to be made."""
    for name in columns:
        if name in schema.names:
            raise LmcompressError(
                f"the table has a column {name!r}, which is what the new one would be called: "
                "rename it"
            )
