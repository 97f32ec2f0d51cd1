"""The keywords that the functions on bytes and on files share. `compress` says what each means."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypedDict

from lmcompress.api.levels import BEST, FASTEST, LEVELS
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.prompt import Prompt
from lmcompress.models.store import DEFAULT_MODEL, AnyModel, Model, as_model


class _Options(TypedDict, total=False):
    prompt: Prompt | None
    prompt_cache: int
    device: str
    threads: int | None
    memory_limit: int


class DecompressOptions(_Options, total=False):
    """Keywords of `decompress`, and of `open` when reading."""

    output_limit: int | None


class CompressOptions(_Options, total=False):
    """Keywords of `compress` and `score`, and of `open` when writing."""

    level: int
    lanes: int | Literal["auto"]
    segment_bytes: int
    adaptive: bool
    compact: bool


def compression(
    model: AnyModel | None, config: CodecConfig | None, options: CompressOptions
) -> tuple[Model, CodecConfig]:
    """Returns the model and the settings that the arguments of `compress` ask for.

    What is given by name counts more than the level, and the level more than `config`.

    Raises:
      TypeError: If a keyword is unknown.
      ValueError: If a value is out of range.
      ModelNotFoundError: If the model is unknown.
    """
    keywords, default = options.copy(), DEFAULT_MODEL
    if "level" in keywords:
        level = keywords.pop("level")
        if level not in LEVELS:
            raise ValueError(f"level is {level!r}, expected {FASTEST} to {BEST}")
        chosen, default = LEVELS[level], LEVELS[level].model
        settings: CompressOptions = {"lanes": chosen.lanes, "segment_bytes": chosen.segment_bytes}
        keywords = settings | keywords
    return as_model(default if model is None else model), configured(
        config, keywords, CompressOptions
    )


def configured(
    config: CodecConfig | None,
    options: CompressOptions | DecompressOptions,
    allowed: type[CompressOptions] | type[DecompressOptions],
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
