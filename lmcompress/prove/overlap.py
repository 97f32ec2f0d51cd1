"""How much of a text stands in what a model was trained on, and where.

The text is cut into pieces of 64 bytes; each is looked for at every place of the other files. A
polynomial hash, sum of b[i] * BASE**i mod 2**64 over a window (Karp and Rabin, 1987), finds
candidates for all places at once, and their bytes are compared.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

PIECE_BYTES = 64
_BASE = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that it has an inverse mod 2**64."""
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
_BLOCK_BYTES = 1 << 22

_Hashes = npt.NDArray[np.uint64]


@dataclasses.dataclass(frozen=True)
class Overlap:
    """The pieces of a text that stand in a file or folder."""

    path: str
    num_bytes: int
    """Of the text: whole pieces, each counted once."""
    share: float
    """Of the bytes that are in whole pieces."""
    first: dict[str, int | str] | None
    """`text_byte`, `file` and `file_byte` of the first piece found; None if there is none."""

    @property
    def line(self) -> str:
        """What was found, for people."""
        if self.first is None:
            return f"{self.path} holds no piece of {PIECE_BYTES} bytes of the text"
        return (
            f"{self.path} holds {100 * self.share:.2f} % of the text in pieces of {PIECE_BYTES} "
            f"bytes: byte {self.first['text_byte']:,} of the text stands at byte "
            f"{self.first['file_byte']:,} of {self.first['file']}"
        )


def find_overlap(raw: bytes, path: Path) -> Overlap:
    """Returns which pieces of a text stand in a file, or in the files below a folder.

    Raises:
      OSError: If a file cannot be read.
    """
    pieces = len(raw) // PIECE_BYTES
    starts = np.arange(pieces) * PIECE_BYTES
    hashes = _window_hashes(raw)[starts] if pieces else np.zeros(0, np.uint64)
    order = np.argsort(hashes, kind="stable")
    found: dict[int, tuple[str, int]] = {}
    for file in _files(path):
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        for piece, place in _found_in(file, raw, hashes[order], order):
            found.setdefault(piece, (name, place))
    share = len(found) / pieces if pieces else 0.0
    first = min(found, default=None)
    where = None if first is None else _where(first, *found[first])
    return Overlap(path.name, len(found) * PIECE_BYTES, share, where)


def _where(piece: int, name: str, place: int) -> dict[str, int | str]:
    return {"text_byte": piece * PIECE_BYTES, "file": name, "file_byte": place}


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file())
    else:
        yield path


def _found_in(
    file: Path, raw: bytes, hashes: _Hashes, pieces: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Yields each piece that stands in a file, and a place; `hashes` rise, `pieces` are theirs."""
    with file.open("rb") as source:
        start, kept = 0, b""
        while block := source.read(_BLOCK_BYTES):
            block = kept + block
            for piece, place in _found_in_block(block, raw, hashes, pieces):
                yield piece, start + place
            kept = block[-(PIECE_BYTES - 1) :]
            start += len(block) - len(kept)


def _found_in_block(
    block: bytes, raw: bytes, hashes: _Hashes, pieces: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    if len(block) < PIECE_BYTES or not len(hashes):
        return
    windows = _window_hashes(block)
    unique, places = np.unique(windows, return_index=True)
    positions = np.searchsorted(unique, hashes).clip(max=len(unique) - 1)
    for index in np.flatnonzero(unique[positions] == hashes):
        piece, place = int(pieces[index]), int(places[positions[index]])
        start = piece * PIECE_BYTES
        if raw[start : start + PIECE_BYTES] == block[place : place + PIECE_BYTES]:
            yield piece, place


def _window_hashes(data: bytes) -> _Hashes:
    """Returns the hash of the window that begins at each place: (len - PIECE_BYTES + 1,)."""
    values = np.frombuffer(data, np.uint8).astype(np.uint64)
    with np.errstate(over="ignore"):
        sums = np.cumsum(np.append(np.uint64(0), values * _powers(_BASE, len(data))))
        count = len(data) - PIECE_BYTES + 1
        windows: _Hashes = (sums[PIECE_BYTES:] - sums[:count]) * _powers(_INVERSE, count)
    return windows


@functools.lru_cache(maxsize=4)
def _powers(base: np.uint64, count: int) -> _Hashes:
    """Returns the powers of a base mod 2**64, from 0 on: (count,)."""
    factors = np.full(count, base)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)
