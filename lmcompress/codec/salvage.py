"""Decompresses what is left of a damaged file."""

from __future__ import annotations

import dataclasses
from typing import BinaryIO

from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.decoder import Encoded, SegmentDecoder
from lmcompress.errors import CorruptFrameError
from lmcompress.format.index import Place, payload_at
from lmcompress.format.salvage import Gap, survey
from lmcompress.format.wire import write_all
from lmcompress.models.store import AnyModel


@dataclasses.dataclass(frozen=True)
class Salvaged:
    """What became of a damaged file."""

    raw_bytes: int
    """Bytes that were written, all of them right."""
    gaps: tuple[Gap, ...]
    """What is missing between them; neighbours are one gap. Empty if the file is whole."""


def salvage_stream(
    source: BinaryIO,
    sink: BinaryIO,
    config: CodecConfig | None = None,
    model: AnyModel | None = None,
    progress: Progress | None = None,
) -> Salvaged:
    """Decompresses every whole segment of `source`, which must be able to seek, into `sink`.

    What is missing is left out of `sink`: nothing is put in its place.

    Raises:
      LmcompressError: What `decompress_stream` raises, but for damage.
    """
    decoder, raw_bytes, gaps = SegmentDecoder(config or CodecConfig(), model), 0, []
    for part in survey(source):
        if isinstance(part, Place):
            try:
                payload = payload_at(source, part)
                encoded = Encoded(part.header, part.segment, payload, part.raw_start)
                raw = decoder.decode(encoded, progress)
            except CorruptFrameError as exc:
                part = Gap(part.raw_start, part.raw_end, str(exc))
            else:
                write_all(sink, raw)
                raw_bytes += len(raw)
                continue
        gaps.append(part)
    return Salvaged(raw_bytes, tuple(_joined(gaps)))


def _joined(gaps: list[Gap]) -> list[Gap]:
    joined: list[Gap] = []
    for gap in gaps:
        if joined and joined[-1].raw_end == gap.raw_start:
            gap = Gap(joined.pop().raw_start, gap.raw_end, gap.reason)
        joined.append(gap)
    return joined
