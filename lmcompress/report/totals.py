"""One number for many files: bits of all over bytes of all, and what a model's own bytes change."""

from __future__ import annotations

from collections.abc import Iterable

from lmcompress.benchmark.records import Record
from lmcompress.metrics import bits_per_byte


def rate_of_all(records: Iterable[Record], codec: str, extra_bytes: int = 0) -> float:
    """Returns a codec's bits of all files over the bytes of all files.

    Args:
      records: The current ones, of any codecs.
      codec: One of them.
      extra_bytes: Counted once, as if sent along with all files.

    Raises:
      LookupError: If the codec has no record, or one of a score alone.
    """
    found = [record for record in records if record.codec == codec]
    sizes = [record.compressed_bytes for record in found if record.compressed_bytes is not None]
    if not found or len(sizes) < len(found):
        raise LookupError(f"not every file was compressed with {codec}")
    raw_bytes = sum(record.raw_bytes for record in found)
    return bits_per_byte(sum(sizes) + extra_bytes, raw_bytes)


def codecs_on_all_files(records: Iterable[Record]) -> list[str]:
    """Returns the codecs that compressed every file that any codec did, in order of appearance.

    Totals of others would be of other files, and not comparable.
    """
    files: dict[str, set[str]] = {}
    for record in records:
        if record.compressed_bytes is not None:
            files.setdefault(record.codec, set()).add(record.corpus)
    every = set().union(*files.values())
    return [codec for codec, found in files.items() if found == every]


def model_bytes(records: Iterable[Record], codec: str) -> int:
    """Returns the size of a codec's model as stored, 0 without one.

    Raises:
      LookupError: If the codec has no record.
    """
    sizes = [record.model_bytes for record in records if record.codec == codec]
    return sizes[0]


def break_even_bytes(records: Iterable[Record], codec: str, rival: str) -> float:
    """Returns the raw bytes from which on a model pays for its own bytes, if it ever does.

    At the rates over all files, which do not fall with size as those of real files would. Infinite
    if the rival makes smaller files.
    """
    records = list(records)
    gain = rate_of_all(records, rival) - rate_of_all(records, codec)
    return 8 * model_bytes(records, codec) / gain if gain > 0 else float("inf")
