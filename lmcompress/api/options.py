"""The keywords that the functions on bytes and on files share. `compress` says what each means."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypedDict

from lmcompress.codec.config import CodecConfig
from lmcompress.codec.prompt import Prompt


class DecompressOptions(TypedDict, total=False):
    """Keywords of `decompress`, and of `open` when reading."""

    prompt: Prompt | None
    prompt_cache: int
    device: str
    threads: int | None
    memory_limit: int
    output_limit: int | None


class CompressOptions(DecompressOptions, total=False):
    """Keywords of `compress` and `score`, and of `open` when writing."""

    lanes: int | Literal["auto"]
    segment_bytes: int
    adaptive: bool
    compact: bool


def configured(
    config: CodecConfig | None, options: DecompressOptions, allowed: type[DecompressOptions]
) -> CodecConfig:
    """Returns `config`, or the default one, with the keywords given in the place of its fields.

    Raises:
      TypeError: If a keyword is not one of `allowed`.
      ValueError: If a value is out of range.
    """
    for name in options:
        if name not in allowed.__annotations__:
            known = ", ".join(sorted(allowed.__annotations__))
            raise TypeError(f"unexpected keyword {name!r}, expected one of {known}")
    return dataclasses.replace(config or CodecConfig(), **options)
