"""The same for the library `datasets`: what its `map` calls with each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmcompress.codec.config import CodecConfig
from lmcompress.columns.cells import compress_cells, decompress_cells, score_cells
from lmcompress.models.store import DEFAULT_MODEL

COMPRESSED, SCORED = ".lmc", ".bits"
"""What the names of new columns end in."""
Batch = Mapping[str, Sequence[Any]]


class _ColumnWork:
    """Works on some columns of each batch that it is called with."""

    def __init__(
        self,
        columns: Sequence[str],
        model: str = DEFAULT_MODEL,
        config: CodecConfig | None = None,
    ) -> None:
        """Takes names of columns, and of a model or its folder, which each process loads."""
        self.columns, self.model = tuple(columns), model
        self.config = config or CodecConfig(threads=1)


class ColumnCompressor(_ColumnWork):
    """For `dataset.map(ColumnCompressor(["text"]), batched=True, remove_columns=["text"])`."""

    def __call__(self, batch: Batch) -> dict[str, list[bytes | None]]:
        """Returns a column of compact frames for each column: "text.lmc" of "text"."""
        return {
            f"{name}{COMPRESSED}": compress_cells(batch[name], self.model, self.config)
            for name in self.columns
        }


class ColumnDecompressor(_ColumnWork):
    """Inverts `ColumnCompressor` for columns of text; takes the names that they had before."""

    def __call__(self, batch: Batch) -> dict[str, list[str | None]]:
        """Returns a column of text for each column of frames: "text" of "text.lmc"."""
        return {
            name: [
                None if raw is None else raw.decode()
                for raw in decompress_cells(batch[f"{name}{COMPRESSED}"], self.model, self.config)
            ]
            for name in self.columns
        }


class ColumnScorer(_ColumnWork):
    """Scores columns without compressing them."""

    def __call__(self, batch: Batch) -> dict[str, list[float | None]]:
        """Returns a column of code lengths for each column: "text.bits" of "text"."""
        return {
            f"{name}{SCORED}": score_cells(batch[name], self.model, self.config)
            for name in self.columns
        }
