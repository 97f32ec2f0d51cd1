"""Decompression on a cluster: nodes decode segments, this machine checks what they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, BinaryIO

from lmcompress.cluster import worker
from lmcompress.cluster.connection import connected
from lmcompress.cluster.job import files_of
from lmcompress.cluster.pool import Pool
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.stream import encoded_segments
from lmcompress.errors import CorruptFrameError
from lmcompress.format.frame import check_raw
from lmcompress.format.wire import write_all
from lmcompress.models.store import AnyModel, as_model


def decompress_on_cluster(
    source: BinaryIO,
    sink: BinaryIO,
    config: CodecConfig | None = None,
    model: AnyModel | None = None,
    progress: Progress | None = None,
    *,
    address: str,
) -> int:
    """Decompresses as `stream.decompress_stream` does, on the nodes of a Ray cluster.

    A node whose segment has a wrong checksum is left out, and the segment goes to another.

    Raises:
      ClusterError: If no cluster answers, or every node was left out.
      LmcompressError: What `decompress_stream` raises.
    """
    config = dataclasses.replace(config or CodecConfig(), threads=1)
    raw_bytes = 0
    with connected(address) as ray:
        pool = Pool(ray)
        files = pool.put(files_of(as_model(model)) if model is not None else {})
        tasks = pool.in_order(worker.decompress, _tasks(source, config, files))
        for encoded, node, found in tasks:
            raw = _checked(pool, (config, files, encoded), node, found)
            write_all(sink, raw)
            raw_bytes += len(raw)
            if progress:
                progress(len(raw))
    return raw_bytes


def _checked(pool: Pool, arguments: tuple[Any, ...], node: str, raw: bytes) -> bytes:
    """Returns a segment's raw bytes: those of a second node if the first one's are wrong here."""
    segment = arguments[-1].segment
    try:
        check_raw(segment, raw)
        return raw
    except CorruptFrameError:
        pool.leave_out(node, "a segment that it decompressed has wrong bytes")
    _, again = pool.result(pool.start(worker.decompress, *arguments))
    check_raw(segment, again)
    return bytes(again)


def _tasks(source: BinaryIO, config: CodecConfig, files: list[Any]) -> Iterator[Any]:
    for encoded in encoded_segments(source):
        yield encoded, (config, files, encoded)
