"""What runs on a node: pure functions of a segment and a job."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmcompress
from lmcompress.cluster.connection import ray_module
from lmcompress.cluster.job import (
    Job,
    ModelFiles,
    NodeRefusedError,
    compressed,
    gives_known_answer,
    model_in,
)
from lmcompress.codec import scoring
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.decoder import Encoded, SegmentDecoder
from lmcompress.errors import ModelNotFoundError
from lmcompress.models.store import Model, load_model_of

_Files = list[Any]
"""A reference to the model's files, in a list so that Ray leaves it where it is until asked."""
_FOLDERS: list[Any] = []
"""Kept until this process ends, since a tokenizer is read from its model's folder later."""


def node_id() -> str:
    """Returns the id of the node that this process runs on."""
    return str(ray_module().get_runtime_context().get_node_id())


def compress(job: Job, files: _Files, raw: bytes) -> tuple[str, bytes]:
    """Returns the node, and a segment as a frame of its own.

    Raises:
      NodeRefusedError: If this node has another lmcompress, or does not give the known answer.
    """
    return node_id(), compressed(raw, proven_model(job, files[0]), job.config)


def score(job: Job, files: _Files, raw: bytes) -> tuple[str, scoring.Score]:
    """Returns the node, and the code lengths of a segment; raises what `compress` does."""
    return node_id(), scoring.score(raw, proven_model(job, files[0]), job.config)


def call(job: Job, files: _Files, work: Callable[[Model, CodecConfig], Any]) -> tuple[str, Any]:
    """Returns the node, and `work(model, config)`."""
    model = proven_model(job, files[0])
    return node_id(), work(model, job.config)


def decompress(config: CodecConfig, files: _Files, encoded: Encoded) -> tuple[str, bytes]:
    """Returns the node, and the raw bytes of a segment, whose checksum was right here."""
    return node_id(), _decoder(config, files[0]).decode(encoded)


@functools.lru_cache(maxsize=4)
def proven_model(job: Job, files: Any) -> Model:
    """Returns the job's model once this process has shown that it computes what the driver does."""
    if lmcompress.__version__ != job.version:
        raise NodeRefusedError(
            node_id(),
            f"it has lmcompress {lmcompress.__version__}, this machine {job.version}: "
            "install the same",
        )
    model = _model(job.model, job.fingerprint, files)
    if not gives_known_answer(job, model):
        raise NodeRefusedError(node_id(), "it compresses a known text to other bytes")
    return model


def _model(name: str, fingerprint: bytes, files: Any) -> Model:
    """Returns the installed model, else the one that the driver has put into the object store."""
    try:
        return load_model_of(name, fingerprint)
    except ModelNotFoundError:
        model = _model_of_files(ray_module().get(files))
        if model.fingerprint != fingerprint:
            raise NodeRefusedError(node_id(), "the model that reached it is another one") from None
        return model


@functools.lru_cache(maxsize=4)
def _decoder(config: CodecConfig, files: Any) -> SegmentDecoder:
    found: ModelFiles = ray_module().get(files)
    return SegmentDecoder(config, _model_of_files(found) if found else None)


def _model_of_files(files: ModelFiles) -> Model:
    folder = tempfile.TemporaryDirectory(prefix="lmcompress-model-")
    _FOLDERS.append(folder)
    return model_in(Path(folder.name), files)
