"""A benchmark whose rows are measured on the nodes of a Ray cluster, one on each CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmcompress.benchmark import classical
from lmcompress.benchmark.harness import ModelCodec, Progress, benchmark_row, classical_codecs
from lmcompress.benchmark.protocol import Codec
from lmcompress.benchmark.provenance import describe_run, machine_name
from lmcompress.benchmark.records import Record, RunInfo
from lmcompress.cluster.connection import connected
from lmcompress.cluster.job import Job, files_of, new_job
from lmcompress.cluster.pool import Pool
from lmcompress.cluster.worker import node_id, proven_model
from lmcompress.codec.config import CodecConfig
from lmcompress.models.store import load_model

_Row = tuple[str, bytes, RunInfo]
"""Name and bytes of a corpus, and what all records share."""


def run_on_cluster(
    files: Mapping[str, bytes],
    codecs: Sequence[str],
    models: Sequence[str],
    config: CodecConfig,
    progress: Progress | None = None,
    *,
    address: str,
) -> list[Record]:
    """Returns what `harness.run_benchmark` returns; times are those of nodes that are busy.

    Each record names the machine that measured it. Models have one thread.

    Raises:
      ClusterError: If no cluster answers, or every node was left out.
      LmcompressError: What `run_benchmark` raises.
      MissingDependencyError: Without ray.
    """
    run, records = describe_run(), []
    names = [codec.name for codec in classical_codecs(codecs)]
    jobs = [(new_job(model, config), model) for model in map(load_model, models)]
    with connected(address) as ray:
        pool = Pool(ray)
        sent = [(job, pool.put(files_of(model))) for job, model in jobs]

        def tasks() -> Iterator[tuple[str, tuple[Any, ...]]]:
            for corpus, raw in files.items():
                for job, model_files in sent:
                    yield corpus, (job, model_files, "", (corpus, raw, run))
                for name in names:
                    yield corpus, (None, [], name, (corpus, raw, run))

        for corpus, node, record in pool.in_order(_measure, tasks()):
            records.append(record)
            if progress:
                progress(f"{corpus}: {record.codec} on node {node[:8]}")
    return records


def _measure(job: Job | None, files: list[Any], name: str, row: _Row) -> tuple[str, Record]:
    """Measures a model's row, or that of a classical codec; returns the node, and the record."""
    codec: Codec
    if job is None:
        codec = classical.get(name)
    else:
        codec = ModelCodec(proven_model(job, files[0]), job.config)
    corpus, raw, run = row
    run = dataclasses.replace(run, machine=machine_name())
    return node_id(), benchmark_row(codec, corpus, raw, run)
