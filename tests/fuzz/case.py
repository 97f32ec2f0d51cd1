"""What a case is, and what a kind of input has to say of itself."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

from lmcompress import CodecConfig
from lmcompress.errors import LmcompressError

MIB = 1 << 20


class Wrong(AssertionError):
    """An operation ended without an error, and with something else than it may give."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What cases run with."""

    config: CodecConfig
    """How frames are decoded: limits can be set here."""
    folder: Path
    """Where an operation may put its files."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """The most that a case may take: CPU seconds, since others may use the machine too."""

    seconds: float = 30.0
    """A model of a shape of its own has its kernels compiled, which takes some ten."""
    num_bytes: int = 128 * MIB
    """Growth of the process's peak memory."""


@dataclasses.dataclass(frozen=True)
class Case:
    """An input and what is done with it; `seed` and `number` determine the rest."""

    kind: str
    seed: str
    number: int
    operation: str
    data: bytes
    is_forged: bool = False
    """Whether checksums were made right again."""


Operation = Callable[[Case, Setting], None]
"""Does something with a case's data; raises Wrong where the result is."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of input."""

    name: str
    weight: float
    """Its share of the cases, among the others; at 0, it is run only where it is named."""
    make: Callable[[random.Random], tuple[bytes, bool]]
    """Returns damaged data, and whether it is forged."""
    operations: dict[str, tuple[int, Operation]]
    """By name, each with its share."""
    seeds: Callable[[], list[bytes]]
    """Data without damage, which every operation takes."""
    limits: Callable[[bytes], Limits] = lambda data: Limits()
    errors: tuple[type[Exception], ...] = (LmcompressError,)
    """What operations may raise."""

    def case(self, seed: str, number: int, rng: random.Random) -> Case:
        """Returns a case."""
        names = [*self.operations]
        shares = [share for share, _ in self.operations.values()]
        [operation] = rng.choices(names, shares)
        return Case(self.name, seed, number, operation, *self.make(rng))
