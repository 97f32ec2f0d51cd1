"""How sure Table 1's rates are: 95 % intervals from the code lengths of the chunks.

The rate of chunks is that of a sample; another sample would have given another one. Rows of
chunks.jsonl hold each chunk's bits, in the order of the sample, so that differences between two
compressors can be taken chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click

from experiments.support import modalities, paper
from experiments.support.intervals import interval
from experiments.support.records import Row, provenance
from lmcompress.benchmark.harness import chunked_name
from lmcompress.benchmark.protocol import Codec
from lmcompress.models.store import Model

FILE = "chunks.jsonl"
KEY = ("codec", "codec_version", "fingerprint", "corpus_sha256")
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
    file: paper.RowFile,
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
        if not file.has(**identity):
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
    return interval(bits, [8.0 * modalities.CHUNK_BYTES] * len(bits))


def is_clearly_less(rows: Sequence[Row], small: str, large: str) -> bool:
    """Whether one compressor's chunks are shorter than another's, by the interval of the ratio.

    Samples of several sizes begin with the same chunks, so those are compared that both have.

    Args:
      rows: Of chunks.jsonl, of one sample.
      small: Name of the compressor that should be the better one.
      large: Name of the other.
    """
    bits, shared = [_longest(rows, name) for name in (small, large)], num_shared(rows, small, large)
    return interval(bits[0][:shared], bits[1][:shared])[1] < 1


def num_shared(rows: Sequence[Row], *names: str) -> int:
    """Returns how many chunks all of these compressors have, in rows of one modality."""
    return min(len(_longest(rows, name)) for name in names)


def _longest(rows: Sequence[Row], name: str) -> list[float]:
    """Returns the bits of the chunks of a compressor's largest sample."""
    codec = chunked_name(name, modalities.CHUNK_BYTES)
    return max((row["bits_of_chunks"] for row in rows if row["codec"] == codec), key=len)
