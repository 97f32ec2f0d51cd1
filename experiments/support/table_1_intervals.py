"""How sure Table 1's rates are: 95 % intervals from the code lengths of the chunks.

The rate of chunks is that of a sample; another sample would have given another one. Rows of
chunks.jsonl hold each chunk's bits, in the order of the sample, so that differences between two
compressors can be taken chunk by chunk. On text, neighbours are of one article and much alike, so
what is drawn again are blocks of them (Künsch, 1989).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from experiments.support import modalities, paper
from experiments.support.intervals import interval
from experiments.support.records import Row, RowFile, provenance
from lmcompress.benchmark.harness import chunked_name
from lmcompress.benchmark.protocol import Codec
from lmcompress.models.store import Model

FILE = "chunks.jsonl"
BLOCK_CHUNKS = 8
"""Neighbours that are drawn together: 16 KiB."""
Chunked = tuple[str, str]
"""Name of a compressor of chunks, and of a sample."""


class Interval(NamedTuple):
    """Where a rate lies."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2


def measure(
    name: str,
    file: RowFile,
    sample: modalities.Sample,
    codecs: Sequence[Codec],
    models: Sequence[Model],
) -> None:
    """Appends the missing rows of a sample; `name` is the experiment's."""
    compressors: list[Codec | Model] = [*codecs, *models]
    for codec in compressors:
        identity = {
            "codec": chunked_name(codec.name, modalities.CHUNK_BYTES),
            "codec_version": "" if isinstance(codec, Model) else codec.version,
            "fingerprint": codec.fingerprint.hex() if isinstance(codec, Model) else "",
            "corpus_sha256": sample.sha256,
        }
        if not file.matching(identity):
            found = {"corpus": sample.name, "raw_bytes": len(sample.raw)}
            bits = [round(bits, 1) for bits in _bits_of_chunks(codec, sample)]
            file.append(identity | found | {"bits_of_chunks": bits} | provenance(name))
            click.echo(f"{sample.modality} {codec.name}: chunks", err=True)


def _bits_of_chunks(codec: Codec | Model, sample: modalities.Sample) -> Iterator[float]:
    if isinstance(codec, Model):
        yield from paper.chunk_bits(sample.raw, codec).sum(axis=1)
    else:
        yield from (8 * len(codec.compress(chunk)) for chunk in sample.chunks())


def intervals(rows: Sequence[Row]) -> dict[Chunked, Interval]:
    """Returns the interval of the rate of each compressor on each sample."""
    return {(row["codec"], row["corpus"]): Interval(*_of(row)) for row in rows}


def _of(row: Row) -> tuple[float, float]:
    bits = row["bits_of_chunks"]
    return interval(_by_block(bits), _by_block([8.0 * modalities.CHUNK_BYTES] * len(bits)))


def _by_block(values: Sequence[float]) -> list[float]:
    """Returns the sums of blocks of neighbours."""
    return [
        math.fsum(values[start : start + BLOCK_CHUNKS])
        for start in range(0, len(values), BLOCK_CHUNKS)
    ]


def bits_of(rows: Sequence[Row], name: str) -> list[float]:
    """Returns the bits of a compressor's chunks, in rows of one modality: those measured last."""
    codec = chunked_name(name, modalities.CHUNK_BYTES)
    return next(row["bits_of_chunks"] for row in reversed(rows) if row["codec"] == codec)


def is_clearly_less(rows: Sequence[Row], better: str, worse: str) -> bool:
    """Whether one compressor's chunks are shorter than another's, by the interval of the ratio.

    Args:
      rows: Of chunks.jsonl, of one modality; both compressors have the same chunks.
      better: Name of the compressor that should have the shorter ones.
      worse: Name of the other.
    """
    shorter, longer = (_by_block(bits_of(rows, name)) for name in (better, worse))
    return interval(shorter, longer)[1] < 1
