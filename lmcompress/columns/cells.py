"""The cells of a column, each compressed or scored on its own, after one prompt for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lmcompress.api import one_shot
from lmcompress.codec.config import CodecConfig
from lmcompress.errors import LmcompressError
from lmcompress.format.header import MAX_SEGMENT_BYTES
from lmcompress.format.wire import OR_SALVAGE
from lmcompress.models.store import AnyModel

CellWork = Callable[[bytes, AnyModel, CodecConfig], Any]
"""What is made of the bytes of a cell."""


class Batch(NamedTuple):
    """Consecutive records of a table, with the columns that are worked on."""

    columns: Mapping[str, Sequence[Any]]
    """Name -> cells: text, bytes or None."""
    first: int | None = None
    """Which record of the table is the first one, counted from 0; None if nobody knows."""


def each_cell(
    work: CellWork, batch: Batch, model: AnyModel, config: CodecConfig
) -> list[list[Any]]:
    """Returns what the work makes of each cell, column by column; None stays None.

    Raises:
      LmcompressError: Names column and record.
    """
    found: list[list[Any]] = []
    for name, cells in batch.columns.items():
        found.append([])
        for number, cell in enumerate(cells):
            try:
                made = None if cell is None else work(raw_of(cell), model, config)
            except LmcompressError as exc:
                reason = str(exc).replace(OR_SALVAGE, "")  # which takes a file
                raise LmcompressError(
                    f"column {name!r}, {_place(batch, number)}: {reason}"
                ) from exc
            found[-1].append(made)
    return found


def _place(batch: Batch, number: int) -> str:
    if batch.first is None:
        return f"record {number + 1} of its batch"
    return f"record {batch.first + number + 1}"


def raw_of(cell: Any) -> bytes:
    """Returns the bytes of a cell; raises LmcompressError unless it is text or bytes."""
    if isinstance(cell, str):
        return cell.encode()
    if isinstance(cell, bytes):
        return cell
    raise LmcompressError(f"found a cell of type {type(cell).__name__}, expected text or bytes")


def compress_cell(raw: bytes, model: AnyModel, config: CodecConfig) -> bytes:
    """Returns a compact frame of one segment."""
    config = dataclasses.replace(config, compact=True, segment_bytes=MAX_SEGMENT_BYTES)
    return one_shot.compress(raw, model, config)


def decompress_cell(frame: bytes, model: AnyModel, config: CodecConfig) -> bytes:
    """Inverts `compress_cell`."""
    return one_shot.decompress(frame, model, config)


def score_cell(raw: bytes, model: AnyModel, config: CodecConfig) -> float:
    """Returns the bits of the code, without a header."""
    return one_shot.score(raw, model, config).quantized_code_length_bits
