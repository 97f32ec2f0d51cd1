"""Code lengths on a cluster."""

from __future__ import annotations

from lmcompress.cluster import worker
from lmcompress.cluster.connection import connected
from lmcompress.cluster.job import files_of, new_job
from lmcompress.cluster.pool import Pool
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.scoring import Score
from lmcompress.models.store import Model


def score_on_cluster(
    data: bytes,
    model: Model,
    config: CodecConfig,
    progress: Progress | None = None,
    *,
    address: str,
) -> Score:
    """Scores as `scoring.score` does, a segment on each CPU of a Ray cluster.

    Raises:
      ClusterError: If no cluster answers, or every node was left out.
      MissingDependencyError: Without ray.
    """
    job, size = new_job(model, config), config.segment_bytes
    ideal = quantized = 0.0
    with connected(address) as ray:
        pool = Pool(ray)
        files = pool.put(files_of(model))
        pieces = (data[start : start + size] for start in range(0, len(data), size))
        tasks = ((raw, (job, files, raw)) for raw in pieces)
        for raw, _, found in pool.in_order(worker.score, tasks):
            ideal += found.ideal_code_length_bits
            quantized += found.quantized_code_length_bits
            if progress:
                progress(len(raw))
    return Score(len(data), ideal, quantized)
