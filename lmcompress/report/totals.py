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
      LookupError: If the codec has no record.
    """
    found = [record for record in records if record.codec == codec]
    if not found:
        raise LookupError(f"no record is of {codec}")
    compressed = sum(record.compressed_bytes or 0 for record in found)
    return bits_per_byte(compressed + extra_bytes, sum(record.raw_bytes for record in found))


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
