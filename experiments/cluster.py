"""What does a cluster cost, and how well does it use its workers?

    python -m experiments.cluster [--quick]

A Ray cluster of nodes of one CPU on this machine. One megabyte of enwik8 in segments of 64 KiB goes
through one process, one node, two nodes, and two nodes of which one has other instructions; each
file must be that of the one process. Tiny segments of the adaptive stage alone show what a segment
costs besides its work. From these figures follows, on paper, a terabyte on a thousand cores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import click

import lmcompress
from experiments.support.records import Row, identified, result_folder, with_machine, write_results
from experiments.support.tables import markdown_of
from lmcompress import corpora
from lmcompress.cluster.compress import compress_on_cluster
from lmcompress.cluster.connection import ray_module
from lmcompress.cluster.pool import AHEAD
from lmcompress.codec.config import CodecConfig
from lmcompress.models.store import DEFAULT_MODEL, NO_MODEL, load_model

NAME = "cluster"
COLUMNS = ("way", "seconds", "efficiency", "store MiB", "compressed bytes")
CORPUS = "enwik/enwik8.head-4150000@3000000"
RAW_BYTES, QUICK_BYTES = 1 << 20, 1 << 15
SEGMENT_BYTES, QUICK_SEGMENT = 1 << 16, 1 << 13
TINY_SEGMENT, TINY_COUNT, QUICK_COUNT = 64, 400, 40
STORE_BYTES = 256 << 20
OTHER = {"NUMBA_CPU_NAME": "nehalem"}
"""A node of 2008's instructions: no AVX."""
TERABYTE, CORES = 10**12, 1000


@dataclasses.dataclass(frozen=True)
class Timing:
    """A compression, after another one that warmed all up."""

    seconds: float
    frame: bytes
    store_bytes: int | None = None
    """The most that the cluster's object stores held."""


@contextlib.contextmanager
def nodes(*settings: dict[str, str]) -> Iterator[None]:
    """Starts a cluster of nodes of one CPU, with these variables in their environment."""
    ray = ray_module()
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster()
    for variables in settings:
        cluster.add_node(
            num_cpus=1, object_store_memory=STORE_BYTES, include_dashboard=False, env_vars=variables
        )
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def store_bytes() -> int:
    """Returns what the cluster's object stores hold now."""
    ray, name = ray_module(), "object_store_memory"
    return int(ray.cluster_resources()[name] - ray.available_resources().get(name, 0))


def here(raw: bytes, model: str, size: int) -> Timing:
    """Compresses in this process, on one thread."""
    config = CodecConfig(segment_bytes=size, threads=1, device="cpu")
    lmcompress.compress(raw[:size], model, config)
    started = time.perf_counter()
    frame = lmcompress.compress(raw, model, config)
    return Timing(time.perf_counter() - started, frame)


def on_nodes(raw: bytes, model: str, size: int, *settings: dict[str, str]) -> Timing:
    """Compresses on a cluster; a first run starts its workers and compiles their kernels."""
    config, most = CodecConfig(segment_bytes=size), 0

    def compressed(text: bytes) -> bytes:
        def look(_count: int) -> None:
            nonlocal most
            most = max(most, store_bytes())

        sink, about = io.BytesIO(), (load_model(model), config)
        watch = look if size >= QUICK_SEGMENT else None  # tiny segments: it would take their time
        with (
            tempfile.TemporaryDirectory() as cache,
            mock.patch("lmcompress.cluster.compress.cache_home", return_value=Path(cache)),
        ):
            compress_on_cluster(io.BytesIO(text), sink, *about, watch, address="auto")
        return sink.getvalue()

    with nodes(*settings):
        compressed(raw[: 4 * size * len(settings)])
        started = time.perf_counter()
        frame = compressed(raw)
        return Timing(time.perf_counter() - started, frame, most)


def efficiency_rows(raw: bytes, size: int) -> list[dict[str, Any]]:
    """Returns a row for one process, for one and two nodes, and for two that differ."""
    alone = here(raw, DEFAULT_MODEL, size)
    ways: dict[str, list[dict[str, str]]] = {
        "one node": [{}],
        "two nodes": [{}, {}],
        "two nodes, one without AVX": [{}, OTHER],
    }
    rows = [_row("one process", 1, alone, alone)]
    for way, settings in ways.items():
        found = on_nodes(raw, DEFAULT_MODEL, size, *settings)
        rows.append(_row(way, len(settings), found, alone))
        click.echo(str(rows[-1]), err=True)
    rows[-1]["efficiency"] = None  # a slow node is no measure of the cluster
    return rows


def _row(way: str, workers: int, found: Timing, alone: Timing) -> dict[str, Any]:
    if found.frame != alone.frame:
        raise click.ClickException(f"{way}: another file than that of one process")
    return {
        "way": way,
        "seconds": round(found.seconds, 1),
        "efficiency": round(alone.seconds / (workers * found.seconds), 2),
        "store MiB": None if found.store_bytes is None else found.store_bytes >> 20,
        "compressed bytes": len(found.frame),
    }


def overhead_ms(raw: bytes) -> float:
    """Returns the milliseconds that one node takes for a segment more than one process does."""
    alone = here(raw, NO_MODEL, TINY_SEGMENT)
    found = on_nodes(raw, NO_MODEL, TINY_SEGMENT, {})
    if found.frame != alone.frame:
        raise click.ClickException("tiny segments: another file than that of one process")
    return 1000 * (found.seconds - alone.seconds) / (len(raw) / TINY_SEGMENT)


def on_paper(rate: float, overhead: float, size: int, ratio: float) -> str:
    """Returns what a terabyte takes on a thousand cores.

    Args:
      rate: Bytes a second of one core.
      overhead: Milliseconds for each segment, on the machine that hands them out.
      size: Bytes of a segment.
      ratio: Compressed bytes for each byte.
    """
    segments = -(-TERABYTE // size)
    hours = TERABYTE / (CORES * rate) / 3600
    asked, most = CORES * rate / size, 1000 / overhead
    held = AHEAD * CORES * size / 2**30
    limit = "enough" if asked < most else "too few: take larger segments"
    return (
        f"On paper, 1 TB on {CORES:,} such cores, in {segments:,} segments of {size >> 10:,} KiB: "
        f"{hours:,.0f} hours. The cores ask for {asked:.1f} segments a second, and one machine "
        f"hands out {most:,.0f} ({limit}). It holds {held:,.1f} GiB of segments in flight, and "
        f"{TERABYTE * ratio / 1e9:,.0f} GB of records until the file is whole, so that its disk "
        "has room for twice the compressed file."
    )


def derived_texts(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the table of the records, and what they mean for a terabyte."""
    first = rows[0]
    raw_bytes = int(first["corpus"].rpartition("+")[2])
    overhead, segment = first["overhead ms"], first["segment_bytes"]
    ratio = first["compressed bytes"] / raw_bytes
    papers = [
        on_paper(raw_bytes / first["seconds"], overhead, bytes_each, ratio)
        for bytes_each in (segment, 1 << 20, 1 << 24)
    ]
    note = (
        f"{DEFAULT_MODEL}, {raw_bytes:,} bytes of enwik8 in segments of {segment >> 10} KiB. "
        "Efficiency: seconds of one process, over those of the cluster times its nodes. "
        f"A segment costs {overhead:.1f} ms besides its work."
    )
    table = markdown_of(rows, with_machine(note, rows), COLUMNS).rstrip()
    return {"table.md": "\n\n".join([table, *papers]) + "\n"}


@click.command()
@click.option("--quick", is_flag=True, help="32 KiB, into results/quick.")
def main(quick: bool) -> None:
    """Measures a cluster of one and two nodes on this machine."""
    with result_folder(NAME, quick) as folder:
        size, segment = (QUICK_BYTES, QUICK_SEGMENT) if quick else (RAW_BYTES, SEGMENT_BYTES)
        raw = corpora.load(f"{CORPUS}+{size}")
        rows = efficiency_rows(raw, segment)
        overhead = overhead_ms(raw[: TINY_SEGMENT * (QUICK_COUNT if quick else TINY_COUNT)])
        about = {"corpus": f"{CORPUS}+{size}", "segment_bytes": segment, "overhead ms": overhead}
        records = identified([{**row, **about} for row in rows], load_model(DEFAULT_MODEL))
        write_results(NAME, records, folder, derived_texts)
        click.echo((folder / "table.md").read_text("utf-8"))


if __name__ == "__main__":
    main()
