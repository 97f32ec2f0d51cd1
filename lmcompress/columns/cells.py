"""The cells of a column, each compressed or scored on its own, after one prompt for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from lmcompress.api import one_shot
from lmcompress.codec.config import CodecConfig
from lmcompress.errors import LmcompressError
from lmcompress.format.header import MAX_SEGMENT_BYTES
from lmcompress.models.store import AnyModel

CellWork = Callable[[Sequence[Any], AnyModel, CodecConfig], list[Any]]
"""Maps the cells of a column (text, bytes or None) to one result each."""


def raw_of(cell: Any) -> bytes:
    """Returns the bytes of a cell; raises LmcompressError unless it is text or bytes."""
    if isinstance(cell, str):
        return cell.encode()
    if isinstance(cell, bytes):
        return cell
    raise LmcompressError(f"found a cell of type {type(cell).__name__}, expected text or bytes")


def compress_cells(
    cells: Sequence[Any], model: AnyModel, config: CodecConfig
) -> list[bytes | None]:
    """Returns each cell as a compact frame; None stays None."""
    config = dataclasses.replace(config, compact=True, segment_bytes=MAX_SEGMENT_BYTES)
    return [None if c is None else one_shot.compress(raw_of(c), model, config) for c in cells]


def decompress_cells(
    cells: Sequence[Any], model: AnyModel, config: CodecConfig
) -> list[bytes | None]:
    """Inverts `compress_cells`: bytes, also of what was text."""
    return [None if c is None else one_shot.decompress(raw_of(c), model, config) for c in cells]


def score_cells(cells: Sequence[Any], model: AnyModel, config: CodecConfig) -> list[float | None]:
    """Returns the bits of each cell's code, without a header; None stays None."""
    return [None if cell is None else _code_length(raw_of(cell), model, config) for cell in cells]


def _code_length(raw: bytes, model: AnyModel, config: CodecConfig) -> float:
    return one_shot.score(raw, model, config).quantized_code_length_bits
