"""Options of `decompress` for less than the whole file: --range and --salvage."""

from __future__ import annotations

import functools
import shutil
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

import click

from lmcompress.cli.errors import EXIT_INCOMPLETE
from lmcompress.cli.files import Destination
from lmcompress.cli.options import Command, byte_count
from lmcompress.cli.streams import input_bytes
from lmcompress.errors import CorruptFrameError, LmcompressError
from lmcompress.format.wire import write_all

if TYPE_CHECKING:
    from lmcompress.codec.config import CodecConfig, Progress


class ByteRange(NamedTuple):
    """Raw bytes of a file."""

    start: int
    length: int


class Decompress(Protocol):
    """As `decompress_stream`."""

    def __call__(
        self, source: BinaryIO, sink: BinaryIO, config: CodecConfig, model: str | None,
        progress: Progress | None,
    ) -> int:  # fmt: skip
        """Writes raw bytes of `source` to `sink`, and returns how many."""


def byte_range(text: str) -> ByteRange:
    """Returns a range such as 10M:64K."""
    start, colon, length = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text!r} is not START:LENGTH: write 10M:64K")
    return ByteRange(byte_count(start), byte_count(length))


def part_options(command: Command) -> Command:
    """Adds --range and --salvage."""
    for option in (
        click.option(
            "--salvage",
            is_flag=True,
            help="Write every intact segment of a damaged FILE.lmc, and say which bytes are "
            f"missing. The exit code is {EXIT_INCOMPLETE} if any are.",
        ),
        click.option(
            "--range",
            "part",
            type=byte_range,
            metavar="START:LENGTH",
            help="Only these bytes of the original, such as 10M:64K; decodes just the segments "
            "that hold them. Needs -c or -o.",
        ),
    ):
        command = option(command)
    return command


def decompress_of(
    part: ByteRange | None, salvage: bool, destination: Destination, losses: list[str]
) -> Decompress:
    """Returns what decompresses as the options ask for, and appends what is missing to `losses`.

    Raises:
      UsageError: If the options do not agree.
    """
    from lmcompress.codec.stream import decompress_stream

    if part is None and not salvage:
        return decompress_stream
    if part is not None and salvage:
        raise click.UsageError("--range and --salvage exclude each other: give one of them")
    if destination.remove:
        raise click.UsageError("--rm needs the whole file decompressed: leave it out")
    if part is None:
        return functools.partial(_salvage, losses)
    if not destination.to_stdout and destination.output is None:
        raise click.UsageError("--range needs -c or -o OUT: FILE is the name of the whole")
    return functools.partial(_read_range, part)


def _read_range(
    part: ByteRange, source: BinaryIO, sink: BinaryIO, config: CodecConfig, model: str | None,
    progress: Progress | None,
) -> int:  # fmt: skip
    from lmcompress.api.reader import DecompressedFile

    _require_file(source, "--range")
    file = DecompressedFile(source, config, model, progress)
    size = file.seek(0, 2)
    if part.start > size:
        raise LmcompressError(f"it holds {size:,} bytes, the range starts at {part.start:,}")
    file.seek(part.start)
    left = min(part.length, size - part.start)
    while left:
        piece = file.read(min(left, shutil.COPY_BUFSIZE))  # type: ignore[attr-defined]
        write_all(sink, piece)
        left -= len(piece)
    return min(part.length, size - part.start)


def _salvage(
    losses: list[str], source: BinaryIO, sink: BinaryIO, config: CodecConfig, model: str | None,
    progress: Progress | None,
) -> int:  # fmt: skip
    from lmcompress.codec.salvage import salvage_stream
    from lmcompress.format.wire import OR_SALVAGE

    _require_file(source, "--salvage")
    found = salvage_stream(source, sink, config, model, progress)
    reasons = [gap.reason.replace(OR_SALVAGE, "") for gap in found.gaps]
    if reasons and not found.raw_bytes:
        raise CorruptFrameError(f"nothing of it is whole: {reasons[0]}")
    for gap, reason in zip(found.gaps, reasons, strict=True):
        end = "the end" if gap.raw_end is None else f"{gap.raw_end:,}"
        lost = f"bytes from {gap.raw_start:,} to {end} are missing"
        if gap.raw_start == gap.raw_end:
            lost = f"no bytes are missing at {end}, but something is damaged"
        losses.append(f"{lost}: {reason}")
    return found.raw_bytes


def _require_file(source: BinaryIO, option: str) -> None:
    if input_bytes(source) is None:
        raise LmcompressError(f"{option} needs a regular file as input, not a pipe")
