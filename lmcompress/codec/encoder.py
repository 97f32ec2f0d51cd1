"""Encodes segments one by one; several threads may do so at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lmcompress.codec.config import Progress
from lmcompress.codec.memory import check_memory, memory_needed
from lmcompress.codec.out_of_domain import session_of
from lmcompress.codec.segments import encode_segment
from lmcompress.codec.session import Opened, Session
from lmcompress.errors import LmcompressError
from lmcompress.format.frame import Method
from lmcompress.format.wire import encode_varint
from lmcompress.range_coder import RangeEncoder


@dataclasses.dataclass(frozen=True)
class Coded:
    """A coded segment."""

    method: Method
    lanes: int
    payload: bytes
    length_bytes: int
    """Bytes at its beginning that hold the lengths of lanes."""


class SegmentEncoder:
    """Turns raw bytes into payloads."""

    def __init__(self, session: Session) -> None:
        """Raises ValueError if nothing would predict."""
        self.session, self._methods = session, session.methods

    def on_threads(self, threads: int) -> SegmentEncoder:
        """Returns one whose segments take so many threads each."""
        return SegmentEncoder(self.session.on_threads(threads))

    @property
    def most_at_once(self) -> int:
        """How many full segments to encode at once, for the threads and the memory limit."""
        session, size = self.session, self.session.config.segment_bytes
        needed = memory_needed(session, session.lanes_for(size), size)
        return max(1, min(session.threads, session.config.memory_limit // needed))

    def encode(self, raw: bytes, progress: Progress | None = None) -> Coded | None:
        """Returns the result of the method with the shortest payload; None to store the bytes.

        What the GPT knows nothing about is left to the adaptive stage alone.

        Raises:
          LmcompressError: If the bytes are more than a segment.
          LimitExceededError: If they take more memory than the limit.
        """
        session = self.session.for_segment(len(raw))
        if len(raw) > session.config.segment_bytes:
            raise LmcompressError(
                f"found more than {session.config.segment_bytes} bytes, a compact frame is one "
                "segment: leave out compact, or raise segment_bytes (--segment-bytes)"
            )
        chosen = session_of(raw, session)
        if chosen is None:
            return None
        methods = self._methods if chosen is session else [Method.ADAPTIVE]
        return self._coded(raw, chosen, methods, progress)

    def _coded(
        self, raw: bytes, session: Session, methods: Sequence[Method], progress: Progress | None
    ) -> Coded:
        symbols = session.symbols_of(raw)
        lanes = session.lanes_for(len(symbols))
        check_memory(session, lanes, len(raw))
        lengths = session.lane_bytes(symbols, lanes)
        with session.open_encoder(lanes) as opened:
            coders = self._coders(symbols, lengths, opened, methods, progress)
        short = session.config.compact
        payloads = [coder.short_payload() if short else coder.payload() for coder in coders]
        method, payload = min(zip(methods, payloads, strict=True), key=lambda p: len(p[1]))
        prefix = _written_lengths(session, lengths)
        return Coded(method, lanes, prefix + payload, len(prefix))

    def _coders(
        self, symbols: npt.NDArray[np.int32], lengths: list[int], opened: Opened,
        methods: Sequence[Method], progress: Progress | None,
    ) -> list[RangeEncoder]:  # fmt: skip
        """Returns the coder of each method with the encoded segment."""
        return encode_segment(symbols, lengths, opened, methods, progress)


def _written_lengths(session: Session, lengths: list[int]) -> bytes:
    """Returns the lanes' lengths, where a decoder does not know them, as a payload begins."""
    is_known = session.model.tokens is None
    return b"" if is_known else b"".join(map(encode_varint, lengths[:-1]))
