"""Compression on a cluster: every segment becomes a record, then the records become a frame."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from lmcompress.cluster import worker
from lmcompress.cluster.audit import Audit
from lmcompress.cluster.connection import connected
from lmcompress.cluster.job import Job, files_of, new_job
from lmcompress.cluster.pool import Pool
from lmcompress.cluster.records import Records
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.requirements import new_writer
from lmcompress.codec.session import Session
from lmcompress.codec.stream import Sizes, read_fully
from lmcompress.errors import ClusterError
from lmcompress.format.file import read_frames
from lmcompress.format.frame import Method, Segment, Writer
from lmcompress.format.wire import can_seek
from lmcompress.models.store import Model
from lmcompress.system.cache import cache_home


def compress_on_cluster(
    source: BinaryIO,
    sink: BinaryIO,
    model: Model,
    config: CodecConfig,
    progress: Progress | None = None,
    *,
    address: str,
    audit: float = 0.0,
) -> Sizes:
    """Compresses as `stream.compress_stream` does, on the nodes of a Ray cluster.

    Finished segments are kept in the user's cache until the file is whole: a run that was stopped
    goes on where it was. A source that cannot seek is copied to a temporary file first.

    Args:
      source: What to compress.
      sink: Where the frame goes.
      model: Sent once to each node that has not installed it.
      config: Each segment takes one CPU; without fixed `lanes`, no GPU.
      progress: Called with the bytes of each finished segment.
      address: `auto`, HOST:PORT or ray://HOST:PORT.
      audit: Share of the segments that a second node computes as well, from 0 to 1.

    Raises:
      ClusterError: If no cluster answers, or every node was left out.
      MissingDependencyError: Without ray.
    """
    if config.compact:
        raise ClusterError("a compact file is one segment, which one node would compress: "
                           "leave out --compact or --cluster")  # fmt: skip
    job = new_job(model, config)
    with connected(address) as ray, _seekable(source) as raw:
        records = Records(cache_home() / "cluster" / job.identity[:32])
        pool = Pool(ray, on_left_out=records.drop)
        run = _Run(raw, job, records, pool, Audit(pool, job, model, audit), files_of(model))
        keys = run.finish(progress)
    writer = new_writer(sink, Session(model, job.config))
    sizes = _write(writer, keys, records)
    records.remove(keys)
    return sizes


class _Run:
    """One file on one cluster."""

    def __init__(
        self,
        raw: BinaryIO,
        job: Job,
        records: Records,
        pool: Pool,
        audit: Audit,
        files: dict[str, bytes],
    ) -> None:
        self._raw, self._start, self._job = raw, raw.tell(), job
        self._records, self._pool, self._audit = records, pool, audit
        self._files = pool.put(files)

    def finish(self, progress: Progress | None) -> list[str]:
        """Computes all segments that have no record yet; returns the names of the records."""
        keys: list[str] = []
        self._compute(self._missing(keys, progress), progress)
        while lost := [i for i, key in enumerate(keys) if self._records.load(key) is None]:
            self._compute(self._again(keys, lost), None)
        return keys

    def _compute(self, missing: Iterator[Any], progress: Progress | None) -> None:
        """Makes records, but none that an audit contradicts."""
        for (key, raw), node, frame in self._pool.in_order(worker.compress, missing):
            if self._audit.chooses(key) and not self._audit.passes(self._files, raw, node, frame):
                continue
            self._records.save(key, node, frame)
            if progress:
                progress(len(raw))

    def _missing(self, keys: list[str], progress: Progress | None) -> Iterator[Any]:
        """Yields the segments without a record, and appends the name of each segment's record."""
        while raw := read_fully(self._raw, self._job.config.segment_bytes):
            keys.append(self._job.key(raw))
            if self._records.load(keys[-1]) is None:
                yield (keys[-1], raw), (self._job, self._files, raw)
            elif progress:
                progress(len(raw))

    def _again(self, keys: Sequence[str], lost: Sequence[int]) -> Iterator[Any]:
        """Yields segments whose records were dropped."""
        size = self._job.config.segment_bytes
        for i in lost:
            self._raw.seek(self._start + i * size)
            raw = read_fully(self._raw, size)
            yield (keys[i], raw), (self._job, self._files, raw)


@contextlib.contextmanager
def _seekable(source: BinaryIO) -> Iterator[BinaryIO]:
    """Yields the source, or a copy of it that can seek."""
    if can_seek(source):
        yield source
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        copy.seek(0)
        yield copy


def _write(writer: Writer, keys: Sequence[str], records: Records) -> Sizes:
    """Writes a frame of all records."""
    raw_bytes = payload_bytes = 0
    for key in keys:
        frame = records.load(key)
        if frame is None:
            raise ClusterError(f"the record {key} is gone from {records.folder}: run again")
        for segment, payload in _segments(frame):
            if segment.method is Method.STORED:
                writer.write_stored(payload)
            else:
                sizes, checksum = (segment.raw_bytes, segment.lanes), segment.raw_checksum
                writer.write_coded(*sizes, payload, checksum, segment.method)
            raw_bytes, payload_bytes = raw_bytes + segment.raw_bytes, payload_bytes + len(payload)
    writer.finish()
    return Sizes(raw_bytes, payload_bytes, writer.bytes_written)


def _segments(frame: bytes) -> Iterator[tuple[Segment, bytes]]:
    for reader in read_frames(io.BytesIO(frame)):
        yield from reader
