"""Computing a share of the segments twice, on two nodes."""

from __future__ import annotations

import hashlib
from typing import Any

from lmcompress.cluster import worker
from lmcompress.cluster.job import Job, NodeRefusedError, compressed
from lmcompress.cluster.pool import Pool
from lmcompress.errors import ClusterError
from lmcompress.models.store import Model


class Audit:
    """Compares what two nodes make of a segment; this machine decides who is wrong."""

    def __init__(self, pool: Pool, job: Job, model: Model, share: float) -> None:
        """Audits a share of the segments, from 0 to 1; raises ClusterError with one node only."""
        if share and len(pool.nodes()) < 2:
            raise ClusterError(
                "an audit computes segments on two nodes, the cluster has one: leave out --audit"
            )
        self._pool, self._job, self._model, self._share = pool, job, model, share

    def chooses(self, key: str) -> bool:
        """Whether a segment is audited: decided by its record's name, the same in every run."""
        chance = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
        return chance < self._share

    def passes(self, files: Any, raw: bytes, node: str, frame: bytes) -> bool:
        """Whether another node makes the same of a segment; leaves out the node that is wrong."""
        arguments = worker.compress, self._job, files, raw
        try:
            found = self._pool.elsewhere(node, *arguments)
        except NodeRefusedError as refusal:
            self._pool.leave_out(refusal.node, refusal.reason)
            return True  # nobody has contradicted
        if found is None:  # the others are gone
            return True
        second, again = found
        if again == frame:
            return True
        right = compressed(raw, self._model, self._job.config)
        for one, made in ((node, frame), (second, again)):
            if made != right:
                self._pool.leave_out(one, "a segment that it compressed has wrong bytes")
        return frame == right
