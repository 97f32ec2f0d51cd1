"""The same for the library `datasets`: what its `map` calls with each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmcompress.codec.config import CodecConfig
from lmcompress.columns.cells import (
    Batch,
    CellWork,
    compress_cell,
    decompress_cell,
    each_cell,
    score_cell,
)
from lmcompress.models.store import DEFAULT_MODEL

COMPRESSED, SCORED = ".lmc", ".bits"
"""What the names of new columns end in."""
Columns = Mapping[str, Sequence[Any]]


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

    def _made(self, work: CellWork, batch: Columns, suffix: str = "") -> list[list[Any]]:
        columns = {f"{name}{suffix}": batch[f"{name}{suffix}"] for name in self.columns}
        return each_cell(work, Batch(columns), self.model, self.config)


class ColumnCompressor(_ColumnWork):
    """For `dataset.map(ColumnCompressor(["text"]), batched=True, remove_columns=["text"])`."""

    def __call__(self, batch: Columns) -> dict[str, list[bytes | None]]:
        """Returns a column of compact frames for each column: "text.lmc" of "text"."""
        names = [f"{name}{COMPRESSED}" for name in self.columns]
        return dict(zip(names, self._made(compress_cell, batch), strict=True))


class ColumnDecompressor(_ColumnWork):
    """Inverts `ColumnCompressor` for columns of text; takes the names that they had before."""

    def __call__(self, batch: Columns) -> dict[str, list[str | None]]:
        """Returns a column of text for each column of frames: "text" of "text.lmc"."""
        made = self._made(decompress_cell, batch, COMPRESSED)
        texts = [[None if raw is None else raw.decode() for raw in cells] for cells in made]
        return dict(zip(self.columns, texts, strict=True))


class ColumnScorer(_ColumnWork):
    """Scores columns without compressing them."""

    def __call__(self, batch: Columns) -> dict[str, list[float | None]]:
        """Returns a column of code lengths for each column: "text.bits" of "text"."""
        names = [f"{name}{SCORED}" for name in self.columns]
        return dict(zip(names, self._made(score_cell, batch), strict=True))
