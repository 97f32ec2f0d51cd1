"""What each byte of a file costs, and why: the file is made, and its coder watched.

The costs are those of the very frequencies that the range coder gets, so with what else a payload
holds they add up to it: the lengths of lanes in segments of tokens, and the coder's last word.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.evidence import SPEAKERS
from lmcompress.adaptive.lookahead import LIKELIEST
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.encoder import Coded, SegmentEncoder
from lmcompress.codec.recording import Recording, Trace
from lmcompress.codec.requirements import new_writer
from lmcompress.codec.segments import segment_rounds
from lmcompress.codec.session import Opened, Session
from lmcompress.codec.stream import write_smaller
from lmcompress.format.frame import Method
from lmcompress.models.store import DEFAULT_MODEL, AnyModel, Model, as_model
from lmcompress.range_coder import RangeEncoder

STORED = "stored"
"""Who predicted a byte that is written as it is."""


@dataclasses.dataclass(frozen=True)
class SegmentCosts:
    """One segment of a file."""

    start: int
    """Offset of its first byte."""
    raw_bytes: int
    method: Method
    lanes: int
    """0 if it is stored."""
    payload_bytes: int
    length_bytes: int
    """Bytes of the payload that hold the lengths of lanes."""
    cost_bits: float
    """The sum of its bytes' costs."""

    @property
    def rest_bytes(self) -> float:
        """Bytes of the payload beyond the costs and lengths: how the coder's last word ends it."""
        return self.payload_bytes - self.length_bytes - self.cost_bits / 8


@dataclasses.dataclass(frozen=True)
class ByteCosts:
    """What each of n bytes costs in the file that the model makes of them, and why."""

    raw: bytes
    model: Model
    segments: Sequence[SegmentCosts]
    compressed_bytes: int
    """Of the whole file, with its headers and checksums."""
    trace: Trace
    segment: npt.NDArray[np.int32]
    """The segment of each byte, (n,)."""

    @property
    def payload_bytes(self) -> int:
        """Of all segments."""
        return sum(segment.payload_bytes for segment in self.segments)

    @property
    def cost_bits(self) -> float:
        """The sum of all costs."""
        return float(self.trace.bits.sum())

    @property
    def rest_bytes(self) -> float:
        """The payloads beyond costs and lengths of lanes: less than a word of each segment."""
        return sum(segment.rest_bytes for segment in self.segments)

    @property
    def predictors(self) -> npt.NDArray[np.str_]:
        """Who spoke most for each byte, (n,): one of SPEAKERS, or STORED."""
        if not self.raw:
            return np.zeros(0, np.str_)
        names, found = np.array([*SPEAKERS, STORED]), self.trace.evidence.argmax(axis=1)
        alone = {Method.CODED: SPEAKERS.index("network"), Method.STORED: len(SPEAKERS)}
        of_segments = np.array([alone.get(segment.method, -1) for segment in self.segments])
        of_bytes = of_segments[self.segment]
        return names[np.where(of_bytes < 0, found, of_bytes)]

    def columns(self) -> dict[str, npt.NDArray[np.generic]]:
        """Returns a table with a row for each byte, such as pandas takes.

        offset, byte, segment; is_token_start: whether a token begins, which to a model of bytes
        every byte does; bits: what it costs in the file; end_bits: the part of them that says
        whether its token ends; model_bits: what it would cost without the adaptive stage, NaN where
        no GPT was asked; predictor: who spoke most for it; likeliest_1 .. and chance_1 ..: the
        bytes that were likeliest, and how likely, out of 1; for_NAME: how far each of SPEAKERS
        spoke for it, in bits of the odds' logarithm.
        """
        trace, count = self.trace, len(self.raw)
        table: dict[str, npt.NDArray[np.generic]] = {
            "offset": np.arange(count, dtype=np.int64),
            "byte": np.frombuffer(self.raw, np.uint8),
            "segment": self.segment,
            "is_token_start": trace.is_token_start,
            "bits": trace.bits,
            "end_bits": trace.end_bits,
            "model_bits": trace.model_bits,
            "predictor": self.predictors,
        }
        for k in range(LIKELIEST):
            table[f"likeliest_{k + 1}"] = trace.likeliest[:, k]
            table[f"chance_{k + 1}"] = trace.chances[:, k]
        for k, name in enumerate(SPEAKERS):
            table[f"for_{name.replace(' ', '_')}"] = trace.evidence[:, k]
        return table


def byte_costs(
    data: bytes,
    model: AnyModel = DEFAULT_MODEL,
    config: CodecConfig | None = None,
    progress: Progress | None = None,
) -> ByteCosts:
    """Returns what each byte of `data` costs in the file that `compress` makes of it.

    Takes some 150 bytes of memory a byte. `progress` is called with the number of bytes done since
    its last call.

    Raises:
      ValueError: If nothing would predict.
    """
    session = Session(as_model(model), config)
    encoder, trace = _WatchedEncoder(session), Trace.empty(len(data))
    writer = new_writer(io.BytesIO(), session)
    segments = []
    for start, raw in _pieces(data, session.config):
        coded = write_smaller(writer, raw, encoder.encode(raw, progress))
        segments.append(encoder.finish(trace, start, raw, coded))
    writer.finish()
    sizes = [segment.raw_bytes for segment in segments]
    of_bytes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return ByteCosts(data, session.model, segments, writer.bytes_written, trace, of_bytes)


def _pieces(data: bytes, config: CodecConfig) -> Iterator[tuple[int, bytes]]:
    """Yields the offset and the bytes of each segment; all at once if the frame takes only one."""
    size = len(data) if config.compact else config.segment_bytes
    for start in range(0, len(data), max(1, size)):
        yield start, data[start : start + size]


class _WatchedEncoder(SegmentEncoder):
    """A `SegmentEncoder` that keeps what each method said of each byte of the last segment."""

    _recordings: Sequence[Recording] = ()

    def encode(self, raw: bytes, progress: Progress | None = None) -> Coded | None:
        """Returns the result of the method with the shortest payload; None to store the bytes."""
        self._recordings = ()
        return super().encode(raw, progress)

    def _coders(
        self, symbols: npt.NDArray[np.int32], lengths: list[int], opened: Opened,
        methods: Sequence[Method], progress: Progress | None,
    ) -> list[RangeEncoder]:  # fmt: skip
        recordings = [Recording(method, lengths, opened) for method in methods]
        for rounds in segment_rounds(symbols, opened, progress):
            for recording in recordings:
                recording.take(rounds)
        self._recordings = recordings
        return [recording.encoder for recording in recordings]

    def finish(self, trace: Trace, start: int, raw: bytes, coded: Coded | None) -> SegmentCosts:
        """Fills in the trace of a segment that was written as coded, or else stored."""
        part = trace.part(start, start + len(raw))
        for recording in self._recordings:
            if recording.method is Method.CODED:
                part.model_bits[:] = recording.trace.bits
        if coded is None:
            part.bits[:] = 8
            return SegmentCosts(start, len(raw), Method.STORED, 0, len(raw), 0, 8.0 * len(raw))
        [chosen] = [r for r in self._recordings if r.method is coded.method]
        part.copy_from(chosen.trace)
        sizes = len(coded.payload), coded.length_bytes
        bits = float(part.bits.sum())
        return SegmentCosts(start, len(raw), coded.method, coded.lanes, *sizes, bits)
