"""lmcompress itself: the file that it writes with a model of ours, or with the stage alone."""

from __future__ import annotations

import contextlib
from pathlib import Path

import lmcompress
from lmcompress.errors import MissingDependencyError
from lmcompress.models.store import NO_MODEL, load_model

_TEXT = b"A text that has every kernel compiled. " * 30


class Codec:
    """The codec with the model in a folder, by default the current one; without one, none."""

    def __init__(self, folder: Path = Path()) -> None:
        self._model = load_model(folder if (folder / "model.json").is_file() else NO_MODEL)

    def compress(self, raw: bytes, lanes: int | None = None) -> bytes:
        """Returns what `lmcompress compress` writes by default."""
        return lmcompress.compress(raw, self._model, lanes="auto" if lanes is None else lanes)

    def decompress(self, compressed: bytes) -> bytes:
        """Returns the text of a file."""
        return lmcompress.decompress(compressed, self._model)


def compile_kernels(folder: Path) -> None:
    """Has all kernels of a model compiled and cached, which a guarded process could not keep."""
    codec = Codec(folder)
    with contextlib.suppress(MissingDependencyError):  # checking a certificate takes no tokenizer
        for lanes in (1, 16):
            codec.decompress(codec.compress(_TEXT, lanes))
