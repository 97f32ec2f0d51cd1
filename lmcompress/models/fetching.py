"""Installs published checkpoints: downloads, checks and quantizes them.

A model appears in its folder only once it is complete.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from lmcompress.errors import LmcompressError, ModelNotFoundError
from lmcompress.models.catalog import HUB, PUBLISHED, Published
from lmcompress.models.checkpoint import load_exact_checkpoint
from lmcompress.models.manifest import read_manifest
from lmcompress.models.pretrained import Pretrained, open_pretrained
from lmcompress.models.sources import check_source, opened_source
from lmcompress.models.store import NO_MODEL, Model, cache_folder, forget_loaded_models, load_model
from lmcompress.system.atomic import naming
from lmcompress.system.floating_point import default_floating_point
from lmcompress.system.stale import temporary_folder

_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@default_floating_point()
def fetch_model(
    source: str, name: str | None = None, root: Path | None = None, *, overwrite: bool = False
) -> Model:
    """Installs a published checkpoint as a model, and loads it.

    Args:
      source: A name in `PUBLISHED`, `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`, a folder that
        `transformers` wrote, or a GGUF file.
      name: What to call the model; by default, taken from the source.
      root: Folder to put the model's own folder into; by default, one in the user's cache.
      overwrite: Whether to replace a model of that name. A named one that is installed already is
        returned without a download.

    Raises:
      ModelNotFoundError: If the source cannot be downloaded or read, or is damaged.
      UnsupportedModelError: If its architecture or tokenizer is not supported.
      MissingDependencyError: If it needs an optional package.
      LmcompressError: If a model of that name exists, or cannot be written.
    """
    name = _checked_name(name or _default_name(source))
    folder = (root or cache_folder()) / name
    if not overwrite and source in PUBLISHED and _is_there(folder, PUBLISHED[source]):
        with contextlib.suppress(ModelNotFoundError):
            return load_model(folder)
        overwrite = True  # it is that model, and damaged
    check_source(source)
    _check_replaceable(folder, source, overwrite=overwrite)
    with (
        _new_folder(folder, source, overwrite=overwrite) as unfinished,
        opened_source(source, unfinished.parent) as (path, card),
    ):
        _save(open_pretrained(path), {"name": name, **card}, unfinished, folder)
        weights = load_exact_checkpoint(unfinished)  # checks that what was written can be read
        _check_identity(source, name, weights.fingerprint.hex())
    return Model(name, weights, card, folder)


def _check_replaceable(folder: Path, source: str, *, overwrite: bool) -> None:
    """Raises LmcompressError if `folder` holds the source, or something other than a model."""
    if not folder.exists():
        return
    if Path(source).resolve().is_relative_to(folder.resolve()):
        raise LmcompressError(f"{folder} holds the source: choose another name or folder")
    if not (folder / "model.json").is_file():
        raise LmcompressError(f"{folder} exists and is not a model: choose another name or folder")
    if not overwrite:
        raise LmcompressError(f"{folder} exists: pass -f (overwrite=True) to replace it")


def _is_there(folder: Path, known: Published) -> bool:
    path = folder / "model.json"
    return path.is_file() and read_manifest(folder).get("fingerprint") == known.fingerprint


def _save(pretrained: Pretrained, card: dict[str, Any], unfinished: Path, folder: Path) -> None:
    try:
        pretrained.save(card, unfinished)
    except MemoryError as exc:
        raise LmcompressError(
            f"not enough memory to read {pretrained.path}, a model of "
            f"{pretrained.config.num_parameters:,} parameters: close other programs"
        ) from exc
    except (OSError, SafetensorError) as exc:
        raise LmcompressError(f"cannot write {folder}: {exc}") from exc


def _check_identity(source: str, name: str, fingerprint: str) -> None:
    """Raises ModelNotFoundError if a published name would get another model's weights."""
    known = PUBLISHED.get(source) or PUBLISHED.get(name)
    if known is not None and fingerprint != known.fingerprint:
        raise ModelNotFoundError(
            f"{source} gave model {fingerprint}, expected {known.fingerprint}: choose another "
            "name for other weights, or install the versions in constraints.txt"
        )


def _default_name(source: str) -> str:
    if source.startswith(HUB):
        return source.removeprefix(HUB).partition("@")[0].rpartition("/")[2].lower()
    name = source if source in PUBLISHED else Path(source).resolve().name.lower()
    return name.removesuffix(".gguf")


def _checked_name(name: str) -> str:
    if not name or not set(name) <= _NAME_LETTERS or name.startswith(".") or name == NO_MODEL:
        raise LmcompressError(
            f"{name!r} is not a valid model name, expected letters, digits, dots and hyphens: "
            "choose another"
        )
    return name


@contextlib.contextmanager
def _new_folder(folder: Path, source: str, *, overwrite: bool) -> Iterator[Path]:
    """Yields an empty folder that replaces `folder` if the block succeeds."""
    with contextlib.ExitStack() as stack:
        with naming(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(temporary_folder(folder.parent))
            unfinished = temporary / "model"
            unfinished.mkdir()
        yield unfinished
        _check_replaceable(folder, source, overwrite=overwrite)  # again: minutes have passed
        with naming(folder):
            _replace(folder, unfinished, temporary / "before")
        forget_loaded_models()


def _replace(folder: Path, new: Path, aside: Path) -> None:
    """Replaces a folder by another; restores it if that fails.

    Nothing is synced: a model that a crash of the machine tears has a wrong fingerprint, and can be
    fetched again.
    """
    try:
        if folder.exists():
            os.replace(folder, aside)
        os.replace(new, folder)
    except BaseException:
        if aside.exists() and not folder.exists():
            os.replace(aside, folder)
        raise
