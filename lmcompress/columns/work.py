"""Work on the columns of a table: on the threads of this machine, or on a cluster."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from lmcompress.cluster import worker
from lmcompress.cluster.connection import connected
from lmcompress.cluster.job import files_of, new_job
from lmcompress.cluster.pool import Pool
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.parallel import in_order
from lmcompress.codec.session import resolve_threads
from lmcompress.columns.cells import (
    Batch,
    CellWork,
    compress_cell,
    decompress_cell,
    each_cell,
    raw_of,
    score_cell,
)
from lmcompress.columns.mapping import COMPRESSED, SCORED
from lmcompress.columns.source import arrow
from lmcompress.models.store import Model

_TYPE, _MODEL = b"lmcompress.type", b"lmcompress.model"
"""Where the schema of a compressed column says what type it had, and which model made it."""


@dataclasses.dataclass
class ColumnSize:
    """What was done to a column so far."""

    column: str
    records: int = 0
    """Those that are not null."""
    raw_bytes: int = 0
    bits: float = 0.0
    """Of frames where it was compressed, of codes where it was scored."""

    @property
    def bits_per_byte(self) -> float | None:
        """None if the column has no bytes."""
        return self.bits / self.raw_bytes if self.raw_bytes else None


@dataclasses.dataclass(frozen=True)
class ColumnWork:
    """Some columns of a table, a model, and where to run it."""

    columns: Sequence[str]
    model: Model
    config: CodecConfig
    cluster: str | None = None
    """Address of a Ray cluster; this machine's threads if None."""
    progress: Progress | None = None

    def compressed(self, batches: Iterator[Any], sizes: list[ColumnSize]) -> Iterator[Any]:
        """Yields batches with "text.lmc" for each column "text"; fills in sizes, one a column."""
        sizes += map(ColumnSize, self.columns)
        for batch, found in self._mapped(compress_cell, batches):
            for size, cells in zip(sizes, found, strict=True):
                self._count(size, batch, [None if c is None else 8 * len(c) for c in cells])
                batch = self._with_frames(batch, size.column, cells)
            yield batch

    def decompressed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yields batches with "text" for each column "text.lmc"."""
        stored = dataclasses.replace(self, columns=[f"{c}{COMPRESSED}" for c in self.columns])
        for batch, found in stored._mapped(decompress_cell, batches):
            for column, cells in zip(self.columns, found, strict=True):
                batch = _with_cells(batch, column, cells)
                if self.progress:
                    self.progress(sum(len(cell) for cell in cells if cell is not None))
            yield batch

    def scored(self, batches: Iterator[Any], sizes: list[ColumnSize]) -> Iterator[Any]:
        """Yields batches with "text.bits" for each column "text"; fills in sizes, one a column."""
        sizes += map(ColumnSize, self.columns)
        for batch, found in self._mapped(score_cell, batches):
            for size, bits in zip(sizes, found, strict=True):
                self._count(size, batch, bits)
                field = arrow().field(f"{size.column}{SCORED}", arrow().float64())
                batch = _replaced(batch, size.column, field, bits)
            yield batch

    def _with_frames(self, batch: Any, column: str, cells: Sequence[bytes | None]) -> Any:
        about = {_TYPE: str(batch.schema.field(column).type), _MODEL: self.model.name}
        field = arrow().field(f"{column}{COMPRESSED}", arrow().binary(), metadata=about)
        return _replaced(batch, column, field, cells)

    def _count(self, size: ColumnSize, batch: Any, bits: Sequence[float | None]) -> None:
        raw = [len(raw_of(c)) for c in batch.column(size.column).to_pylist() if c is not None]
        size.records, size.raw_bytes = size.records + len(raw), size.raw_bytes + sum(raw)
        size.bits += sum(count for count in bits if count is not None)
        if self.progress:
            self.progress(sum(raw))

    def _mapped(self, work: CellWork, batches: Iterator[Any]) -> Iterator[tuple[Any, list[Any]]]:
        """Yields each batch with what the work makes of the cells of each column."""
        return self._on_cluster(work, batches) if self.cluster else self._here(work, batches)

    def _here(self, work: CellWork, batches: Iterator[Any]) -> Iterator[tuple[Any, list[Any]]]:
        config = dataclasses.replace(self.config, threads=1)

        def on_thread(task: tuple[Any, Batch], progress: Progress) -> tuple[Any, list[Any]]:
            progress(0)  # stops here if the others have
            return task[0], each_cell(work, task[1], self.model, config)

        return in_order(on_thread, self._tasks(batches), resolve_threads(self.config.threads))

    def _on_cluster(self, work: CellWork, batches: Iterator[Any]) -> Iterator[Any]:
        assert self.cluster is not None
        job = new_job(self.model, self.config)
        with connected(self.cluster) as ray:
            pool = Pool(ray)
            files = pool.put(files_of(self.model))
            tasks = (
                (batch, (job, files, functools.partial(each_cell, work, cells)))
                for batch, cells in self._tasks(batches)
            )
            for batch, _, found in pool.in_order(worker.call, tasks):
                yield batch, found

    def _tasks(self, batches: Iterator[Any]) -> Iterator[tuple[Any, Batch]]:
        first = 0
        for batch in batches:
            yield batch, Batch({n: batch.column(n).to_pylist() for n in self.columns}, first)
            first += batch.num_rows


def compressed_columns(schema: Any) -> list[str]:
    """Returns the names that the compressed columns of a schema had before."""
    return [name.removesuffix(COMPRESSED) for name in schema.names if name.endswith(COMPRESSED)]


def model_of(schema: Any, columns: Sequence[str]) -> str | None:
    """Returns the name of the model that made the columns, None if the schema does not say."""
    for name in columns:
        place = schema.get_field_index(f"{name}{COMPRESSED}")
        if place >= 0 and _MODEL in (found := schema.field(place).metadata or {}):
            return str(found[_MODEL].decode())
    return None


def _with_cells(batch: Any, column: str, cells: Sequence[bytes | None]) -> Any:
    stored = f"{column}{COMPRESSED}"
    kind = (batch.schema.field(stored).metadata or {}).get(_TYPE, b"binary").decode()
    field = arrow().field(column, arrow().type_for_alias(kind))
    is_text = arrow().types.is_string(field.type) or arrow().types.is_large_string(field.type)
    values = [c.decode() if is_text and c is not None else c for c in cells]
    return _replaced(batch, stored, field, values)


def _replaced(batch: Any, column: str, field: Any, values: Sequence[Any]) -> Any:
    """Returns a batch with another column in a column's place."""
    place, pyarrow = batch.schema.get_field_index(column), arrow()
    arrays, schema = list(batch.columns), batch.schema.set(place, field)
    arrays[place] = pyarrow.array(values, field.type)
    return pyarrow.RecordBatch.from_arrays(arrays, schema=schema)


def write_parquet(batches: Iterator[Any], sink: Any) -> None:
    """Writes batches, at least one, as a Parquet file."""
    parquet = importlib.import_module("pyarrow.parquet")
    first = next(batches)
    with parquet.ParquetWriter(sink, first.schema) as writer:
        for batch in itertools.chain([first], batches):
            writer.write_batch(batch)
