"""Decodes segments one by one, in whatever order they are asked for."""

from __future__ import annotations

import io

from lmcompress.codec.config import MAX_LANES, CodecConfig, Progress
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.memory import check_memory
from lmcompress.codec.requirements import session_for
from lmcompress.codec.segments import decode_segment
from lmcompress.codec.session import Session
from lmcompress.errors import CorruptFrameError, LimitExceededError
from lmcompress.format.frame import Header, Method, Segment, check_raw
from lmcompress.format.wire import ByteReader
from lmcompress.models.store import AnyModel
from lmcompress.range_coder import long_payload


class SegmentDecoder:
    """Turns payloads into raw bytes; the model of the last frame stays loaded."""

    def __init__(
        self, config: CodecConfig, model: AnyModel | None = None, progress: Progress | None = None
    ) -> None:
        """Uses `model` instead of those that the headers name, if given."""
        self._config, self._model, self._progress = config, model, progress
        self._header: Header | None = None
        self._session: Session | None = None

    def decode(self, header: Header, segment: Segment, payload: bytes, raw_start: int) -> bytes:
        """Returns the raw bytes of a segment, checked.

        Args:
          header: That of its frame.
          segment: What the frame says about it.
          payload: Its payload.
          raw_start: Raw bytes of the file before it, which count towards the output limit.

        Raises:
          CorruptFrameError: If the payload does not decode to what was compressed.
          LimitExceededError: If that takes more memory, or gives more bytes, than allowed.
          LmcompressError: What `session_for` raises, if model or prompt are missing.
        """
        limit, raw_end = self._config.output_limit, raw_start + segment.raw_bytes
        if limit is not None and raw_end > limit:
            raise LimitExceededError(
                f"the file decompresses to {raw_end:,} bytes or more, the limit is {limit:,}: "
                "allow more with output_limit (--output-limit)"
            )
        raw = payload
        if segment.method is not Method.STORED:
            raw = self._decode_coded(self._session_for(header), segment, payload)
        check_raw(segment, raw)
        return raw

    def _session_for(self, header: Header) -> Session:
        if self._session is None or header != self._header:
            self._header = header
            self._session = session_for(header, self._config, self._model)
        return self._session

    def _decode_coded(self, session: Session, segment: Segment, payload: bytes) -> bytes:
        if segment.lanes > MAX_LANES:
            raise CorruptFrameError(
                f"a segment has {segment.lanes} lanes, expected {MAX_LANES} at most"
            )
        check_memory(session, segment.lanes, segment.raw_bytes, len(payload))
        lengths, coded = _lane_lengths(segment, payload, session)
        if segment.is_short:
            coded = long_payload(coded)
        with session.open_decoder(segment.lanes) as opened:
            return decode_segment(coded, lengths, opened, segment.method, self._progress)


def _lane_lengths(segment: Segment, payload: bytes, session: Session) -> tuple[list[int], bytes]:
    """Returns the bytes of each lane, and the coder's bytes."""
    if session.model.tokens is None:
        return LaneLayout(segment.raw_bytes, segment.lanes).lengths, payload
    stream = ByteReader(io.BytesIO(payload))
    lengths = [stream.read_varint("the length of a lane") for _ in range(segment.lanes - 1)]
    lengths.append(segment.raw_bytes - sum(lengths))
    if min(lengths) < 1:
        raise CorruptFrameError(
            f"the lanes of a segment have {sum(lengths[:-1])} bytes and more, "
            f"the segment has {segment.raw_bytes}: the file is damaged"
        )
    return lengths, payload[stream.position :]
