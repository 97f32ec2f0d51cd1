"""The installed models, and how to install published ones."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from lmcompress.errors import LmcompressError
from lmcompress.gpt.config import GPTConfig
from lmcompress.models.manifest import check_size, read_manifest, stored_model_bytes
from lmcompress.models.store import (
    DEFAULT_MODEL,
    NO_MODEL,
    Model,
    folders,
    load_model,
    warn_left_out,
)


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """An installed model, described without loading its weights."""

    name: str
    """What `compress` and `-m` take."""
    is_default: bool
    num_parameters: int
    model_bytes: int | None
    """Bytes of the quantized weights and of the token table. None for a checkpoint of floats, which
    is quantized when it is loaded."""
    context_length: int
    """Tokens that the model sees at most; tokens are bytes, except in some fetched models."""
    fingerprint: str | None
    """32 hex digits that change with anything that can change a prediction. None for a checkpoint
    of floats."""
    folder: Path
    card: dict[str, Any] = dataclasses.field(hash=False, repr=False)
    """JSON-ready facts, such as `trained_on` (corpora), `bytes_seen` and `licence`."""


def list_models() -> list[ModelInfo]:
    """Returns the installed models, those of the package first.

    Installed are the models that come with lmcompress, those in the folders of $LMCOMPRESS_MODELS
    (separated like those of $PATH), and those that `fetch` has put into the user's cache. The last
    one listed is "none", which has no GPT: the adaptive stage alone. Folders that do not hold a
    readable model are left out, with a warning in the log.
    """
    listed = []
    for name, folder in folders().items():
        try:
            listed.append(_describe(name, folder))
        except (LmcompressError, OSError, ValueError) as exc:
            warn_left_out(folder, exc)
    return [*listed, _describe_none()]


def fetch(
    source: str | os.PathLike[str],
    name: str | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Model:
    """Downloads a published model, quantizes it for exact evaluation, and installs it.

    Args:
      source: A name that `lmcompress fetch --help` lists, such as "smollm2-135m";
        "hf:OWNER/NAME" or "hf:OWNER/NAME@REVISION" on the Hugging Face hub; a folder written by
        the transformers library; or a GGUF file.
      name: What the model will be called; by default, taken from the source.
      folder: The folder to put the model's own folder into; by default, one in the user's cache.
      overwrite: Whether to replace a model of that name.

    Returns:
      The model, loaded. A named model that is installed already is not downloaded again.

    Raises:
      ModelNotFoundError: If the source cannot be downloaded or read, or is damaged.
      UnsupportedModelError: If its architecture or tokenizer is not supported.
      MissingDependencyError: If it needs an optional package.
      LmcompressError: If a model of that name exists, or cannot be written.
    """
    from lmcompress.models.fetching import fetch_model

    root = None if folder is None else Path(folder)
    return fetch_model(os.fspath(source), name, root, overwrite=overwrite)


def _describe(name: str, folder: Path) -> ModelInfo:
    manifest = read_manifest(folder)
    config = GPTConfig.from_dict(manifest["config"])
    check_size(folder, config)
    is_exact = manifest["format"] != "float"
    return ModelInfo(
        name=name,
        is_default=name == DEFAULT_MODEL,
        num_parameters=config.num_parameters,
        model_bytes=stored_model_bytes(folder) if is_exact else None,
        context_length=config.context_length,
        fingerprint=manifest.get("fingerprint"),
        folder=folder,
        card=manifest["card"],
    )


def _describe_none() -> ModelInfo:
    none = load_model(NO_MODEL)
    return ModelInfo(
        name=none.name,
        is_default=False,
        num_parameters=0,
        model_bytes=0,
        context_length=0,
        fingerprint=none.fingerprint.hex(),
        folder=none.folder,
        card=none.card,
    )
