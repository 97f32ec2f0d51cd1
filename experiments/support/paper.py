"""What the paper's tables and figures share: models, chunks, rows on disk, options.

Delétang et al., "Language Modeling Is Compression" (ICLR 2024). Each experiment appends what it
measures to records.jsonl, does not measure it again, and makes everything else from that file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import click
import numpy as np
import numpy.typing as npt

from experiments.support.modalities import CHUNK_BYTES
from experiments.support.predictions import predictions
from lmcompress.benchmark.harness import ModelCodec, chunked_name
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.session import Session
from lmcompress.errors import LmcompressError
from lmcompress.models.store import DEFAULT_MODEL, Model, load_model
from lmcompress.range_coder import symbol_bits

LADDER = ("ladder-50k", "ladder-200k", "ladder-800k", "ladder-3200k")
"""Trained on the same 30 MB of Wikipedia; those of 200k to 3200k have the shapes of the paper's."""
MODELS = (*LADDER, DEFAULT_MODEL)
"""The default is not part of the ladder: it was trained on twice the text, of more kinds."""
QUICK_MODELS = (LADDER[0], DEFAULT_MODEL)
CHUNKS_AT_ONCE = 64
DEFAULT_BYTES, QUICK_BYTES = 65_536, 4_096


class ChunkedModelCodec(ModelCodec):
    """A model that gets each chunk alone: the paper's protocol, as a file.

    A segment's lanes are its chunks. They start from nothing and, without the adaptive stage, share
    nothing but the range coder.
    """

    def __init__(self, model: Model, raw_bytes: int, threads: int | None = None) -> None:
        lanes = chunks_at_once(raw_bytes)
        config = CodecConfig(
            lanes=lanes, segment_bytes=lanes * CHUNK_BYTES, adaptive=False, threads=threads
        )
        super().__init__(model, config)
        self.name = chunked_name(model.name, CHUNK_BYTES)


def chunks_at_once(raw_bytes: int) -> int:
    """Returns how many chunks make a segment, so that all segments have as many.

    Raises:
      LmcompressError: Unless the bytes are whole chunks.
    """
    if not raw_bytes or raw_bytes % CHUNK_BYTES:
        raise LmcompressError(
            f"found {raw_bytes:,} bytes, expected a multiple of {CHUNK_BYTES:,}: change --bytes"
        )
    return math.gcd(raw_bytes // CHUNK_BYTES, CHUNKS_AT_ONCE)


def chunk_bits(raw: bytes, model: Model) -> npt.NDArray[np.float64]:
    """Returns each byte's quantized code length, (chunks, CHUNK_BYTES); chunks are read alone."""
    size = chunks_at_once(len(raw)) * CHUNK_BYTES
    segments = [raw[start : start + size] for start in range(0, len(raw), size)]
    return np.concatenate([_segment_bits(segment, model) for segment in segments])


def _segment_bits(raw: bytes, model: Model) -> npt.NDArray[np.float64]:
    session, lanes = Session(model, CodecConfig(device="cpu")), len(raw) // CHUNK_BYTES
    blocks = [
        symbol_bits(rounds.freqs, rounds.symbols).reshape(-1, lanes)
        for rounds in predictions(session, session.symbols_of(raw), lanes)
    ]
    return np.concatenate(blocks).T


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that the experiments share, apart from --quick."""
    for option in (
        click.option("--bytes", "num_bytes", type=click.IntRange(min=1), help="Of each sample."),
        click.option("--model", "models", multiple=True, help="Name or folder; default: all."),
        click.option("--derive", is_flag=True, help="Measure nothing: only rebuild the rest."),
    ):
        command = option(command)
    return command


def chosen_models(names: Sequence[str], quick: bool) -> list[Model]:
    """Returns the models asked for, else all, or two of them if `quick`."""
    return [load_model(name) for name in names or (QUICK_MODELS if quick else MODELS)]


def size_of(num_bytes: int | None, quick: bool, default: int = DEFAULT_BYTES) -> int:
    """Returns the size of each sample: as asked, else the default."""
    return num_bytes or (QUICK_BYTES if quick else default)
