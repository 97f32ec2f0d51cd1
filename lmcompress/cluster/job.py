"""What a node must know to code segments, and what it has to show before it gets one."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
from pathlib import Path

import lmcompress
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.stream import compress_stream
from lmcompress.errors import ClusterError
from lmcompress.models.store import Model, load_model

_TEXT = b"A node compresses this text before any other: 0123456789, and again 0123456789.\n" * 8
ModelFiles = dict[str, bytes]
"""The files of a model's folder, by name."""


class NodeRefusedError(ClusterError):
    """A node cannot code segments: `reason` says why."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(node, reason)
        self.node, self.reason = node, reason

    def __str__(self) -> str:
        return f"node {self.node[:8]}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a compressed segment depends on but its bytes."""

    version: str
    """Of lmcompress."""
    model: str
    fingerprint: bytes
    config: CodecConfig
    known_answer: bytes
    """The frame that this machine makes of a known text."""

    @functools.cached_property
    def identity(self) -> str:
        """Hex digits that change with anything that changes what the job makes of a segment."""
        config, prompt = self.config, self.config.prompt
        settings = (config.lanes, config.segment_bytes, config.adaptive, config.device)
        text = repr((self.version, self.fingerprint, settings, prompt.sha256 if prompt else b""))
        return hashlib.sha256(text.encode() + self.known_answer).hexdigest()

    def key(self, raw: bytes) -> str:
        """Returns the name of a segment's record."""
        return hashlib.sha256(bytes.fromhex(self.identity) + raw).hexdigest()[:32]


def new_job(model: Model, config: CodecConfig) -> Job:
    """Returns a job for a model: one thread a segment, on CPUs unless `lanes` is given.

    Automatic lanes depend on the device, and so would the file.
    """
    device = "cpu" if config.lanes == "auto" else config.device
    config = dataclasses.replace(config, threads=1, device=device)
    answer = compressed(_TEXT, model, config)
    return Job(lmcompress.__version__, model.name, model.fingerprint, config, answer)


def compressed(raw: bytes, model: Model, config: CodecConfig) -> bytes:
    """Returns a segment as a frame of its own."""
    sink = io.BytesIO()
    compress_stream(io.BytesIO(raw), sink, model, config)
    return sink.getvalue()


def gives_known_answer(job: Job, model: Model) -> bool:
    """Whether this process makes of the known text what the driver made of it."""
    return compressed(_TEXT, model, job.config) == job.known_answer


def files_of(model: Model) -> ModelFiles:
    """Returns a model's files; none for the model "none"."""
    if model.weights is None:
        return {}
    return {path.name: path.read_bytes() for path in model.folder.iterdir() if path.is_file()}


def model_in(folder: Path, files: ModelFiles) -> Model:
    """Returns the model of some files, which are written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
    return load_model(folder)
