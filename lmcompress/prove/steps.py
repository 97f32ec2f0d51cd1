"""The notes of a process that takes steps: how likely each symbol was, how far it has come."""

from __future__ import annotations

import dataclasses
import math
import mmap
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.prove.rows import Row, checked_row

PLACE = struct.Struct("<qq")
"""The symbol and the byte of the text that a process has come to."""


@dataclasses.dataclass
class Steps:
    """What a predictor says before each symbol, and how far it has come."""

    table: list[bytes]
    normalise: bool
    place: mmap.mmap
    """Where the parent reads how far it has come, even if it is killed."""
    bits: list[float] = dataclasses.field(default_factory=list)
    """-log2 of the probability of each symbol; inf where that was 0."""
    checks: list[int] = dataclasses.field(default_factory=list)
    """A checksum of each row, to find the first that differs."""
    num_bytes: int = 0

    def row(self, found: Any) -> Row:
        """Returns a checked row and notes its checksum."""
        PLACE.pack_into(self.place, 0, len(self.bits), self.num_bytes)
        row = checked_row(found, len(self.table), normalise=self.normalise)
        self.checks.append(zlib.crc32(row.tobytes()))
        return row

    def take(self, symbol: int, row: Row) -> None:
        """Notes the symbol that came."""
        chance = float(row[symbol])
        self.bits.append(-math.log2(chance) if chance > 0 else math.inf)
        self.num_bytes += len(self.table[symbol])

    def packed(self) -> bytes:
        """Returns the bits and checksums of the symbols that were taken."""
        count = len(self.bits)
        return np.array(self.bits).tobytes() + np.array(self.checks[:count], np.uint32).tobytes()


def unpack_steps(data: bytes, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint32]]:
    """Returns the bits (count,) and the checksums (count,) of `Steps.packed`."""
    return np.frombuffer(data, np.float64, count), np.frombuffer(data, np.uint32, count, 8 * count)


def first_difference(one: bytes, other: bytes) -> int:
    """Returns the first place where two texts differ; the end of the shorter one at the latest."""
    length = min(len(one), len(other))
    first, second = (np.frombuffer(text, np.uint8, length) for text in (one, other))
    different = np.flatnonzero(first != second)
    return int(different[0]) if len(different) else length
