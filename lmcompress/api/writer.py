"""What `open` gives to write to: raw bytes in, compressed segment by segment."""

from __future__ import annotations

import io
from collections.abc import Callable

from lmcompress.codec.config import Progress
from lmcompress.codec.stream import FrameCompressor


class CompressedFile(io.RawIOBase):
    """Compresses what is written; keeps one segment in memory.

    After a failed write it refuses all others, as `FrameCompressor` does: the buffer above would
    write those bytes again.
    """

    def __init__(
        self,
        compressor: FrameCompressor,
        close: Callable[[], None],
        progress: Progress | None = None,
    ) -> None:
        """Ends the frame and calls `close` when it is closed."""
        self._compressor = compressor
        self._close_sink, self._progress = close, progress
        self._raw_bytes = 0

    def writable(self) -> bool:
        """Whether it can be written."""
        return True

    def tell(self) -> int:
        """Returns the raw bytes that were written."""
        return self._raw_bytes

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        """Takes all bytes, and compresses each segment that is full."""
        self._compressor.write(data, self._progress)
        self._raw_bytes += len(data)
        return len(data)

    def close(self) -> None:
        """Compresses the rest and ends the frame; closes the file below if it was opened here."""
        if not self.closed:
            try:
                if not self._compressor.has_failed:
                    self._compressor.finish(self._progress)
            finally:
                self._close_sink()
                super().close()
