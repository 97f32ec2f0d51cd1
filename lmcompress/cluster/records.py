"""Finished segments on disk, so that a run which was stopped does not compute them twice."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from lmcompress.errors import CorruptFrameError
from lmcompress.format.file import read_frames
from lmcompress.system.atomic import naming, replace_atomically


class Records:
    """A folder with a file for each finished segment: KEY.NODE, a frame of that segment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._make_folder()

    def _make_folder(self) -> None:
        with naming(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def load(self, key: str) -> bytes | None:
        """Returns a segment's frame, or None; one that is damaged counts as absent."""
        for path in self.folder.glob(f"{key}.*"):
            frame = path.read_bytes()
            with contextlib.suppress(CorruptFrameError):
                for reader in read_frames(io.BytesIO(frame)):
                    list(reader)
                return frame
            path.unlink(missing_ok=True)
        return None

    def save(self, key: str, node: str, frame: bytes) -> None:
        """Keeps a segment's frame."""
        self._make_folder()  # another run of the same model may have removed it
        with replace_atomically(self.folder / f"{key}.{node}", overwrite=True) as file:
            file.write(frame)

    def drop(self, node: str) -> None:
        """Forgets what a node has made."""
        for path in self.folder.glob(f"*.{node}"):
            path.unlink(missing_ok=True)

    def remove(self, keys: list[str]) -> None:
        """Removes the records of a run that has ended, and the folder if nothing else is in it."""
        for key in keys:
            for path in self.folder.glob(f"{key}.*"):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()
