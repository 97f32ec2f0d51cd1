"""What `open` gives to write to: raw bytes in, compressed segment by segment."""

from __future__ import annotations

import io
from collections.abc import Callable

from lmcompress.codec.config import Progress
from lmcompress.codec.stream import FrameCompressor


class CompressedFile(io.RawIOBase):
    """Compresses what is written; keeps one segment in memory.

    After a failed write it refuses all others: the buffer above would write those bytes again, and
    a file with bytes twice would pass its checks. The file stays cut short, which its reader sees.
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
        self._error: BaseException | None = None

    def writable(self) -> bool:
        """Whether it can be written."""
        return True

    def tell(self) -> int:
        """Returns the raw bytes that were written."""
        return self._raw_bytes

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        """Takes all bytes, and compresses each segment that is full."""
        if self._error is not None:
            raise self._error
        try:
            self._compressor.write(data, self._progress)
        except BaseException as exc:
            self._error = exc
            raise
        self._raw_bytes += len(data)
        return len(data)

    def close(self) -> None:
        """Compresses the rest and ends the frame; closes the file below if it was opened here."""
        if not self.closed:
            try:
                if self._error is None:
                    self._compressor.finish(self._progress)
            finally:
                self._close_sink()
                super().close()
