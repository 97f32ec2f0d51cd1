"""Finds and loads models by name, by folder or by fingerprint.

The installed models are those that come with the package, those in the folders of
$LMCOMPRESS_MODELS, and fetched ones. Finding a model by name or fingerprint reads small JSON files;
only loading its weights imports anything heavy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompress.errors import (
    FingerprintMismatchError,
    LmcompressError,
    ModelNotFoundError,
    did_you_mean,
)
from lmcompress.models.catalog import HUB, PUBLISHED, hub_hint
from lmcompress.models.manifest import read_manifest
from lmcompress.system.cache import cache_home
from lmcompress.system.floating_point import default_floating_point
from lmcompress.system.forks import settle_after_fork

if TYPE_CHECKING:
    from lmcompress.gpt.quantization import ExactWeights
    from lmcompress.tokenizer.vocabulary import TokenTable

DEFAULT_MODEL = "lmc-3m"
NO_MODEL = "none"
"""The name for no GPT at all: only the adaptive stage predicts, from what it has seen so far."""
BYTES, TOKENS = "bytes", "tokens"
"""The tokenizers, as frame headers name them."""
EMBEDDED = Path(__file__).parent / "embedded"

_PASS_ITS_FOLDER = "pass the model that made it (model=... or -m)"
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Model:
    """A quantized GPT, loaded and ready to predict.

    Hashable. To tell whether two models predict the same, compare `fingerprint`, not the models.
    """

    name: str
    """The name that files made with this model carry."""
    weights: ExactWeights | None
    """None for the model "none", which has no GPT."""
    card: dict[str, Any] = dataclasses.field(hash=False, repr=False)
    """JSON-ready facts, such as `trained_on` (corpora), `bytes_seen` and `licence`."""
    folder: Path

    @functools.cached_property
    def fingerprint(self) -> bytes:
        """16 bytes that change with anything that can change a prediction; zeros without a GPT."""
        return self.weights.fingerprint if self.weights else bytes(16)

    @property
    def tokens(self) -> TokenTable | None:
        """The bytes of each token; None for a model whose symbols are bytes."""
        return self.weights.tokens if self.weights else None

    @property
    def tokenizer(self) -> str:
        """The tokenizer's name in frame headers: "bytes" or "tokens"."""
        return TOKENS if self.tokens else BYTES

    @property
    def num_parameters(self) -> int:
        """Parameters of the network."""
        return self.weights.config.num_parameters if self.weights else 0

    @property
    def model_bytes(self) -> int:
        """Bytes of the quantized weights and, if there is one, of the token table."""
        return self.weights.model_bytes if self.weights else 0


AnyModel = str | os.PathLike[str] | Model
"""A model's name, its folder, or a loaded model."""


def all_folders() -> list[Path]:
    """Returns the folders of the installed models, embedded ones first; names may repeat."""
    return [
        path
        for root in _roots()
        if root.is_dir()
        for path in sorted(root.iterdir())
        if (path / "model.json").is_file()
    ]


def folders() -> dict[str, Path]:
    """Returns the installed models by name, embedded ones first; of equal names the first wins."""
    by_name: dict[str, Path] = {}
    for path in all_folders():
        by_name.setdefault(path.name, path)
    return by_name


def _roots() -> Iterator[Path]:
    yield EMBEDDED
    for part in os.environ.get("LMCOMPRESS_MODELS", "").split(os.pathsep):
        if part:
            yield Path(part)
    with contextlib.suppress(LmcompressError):  # no home folder: nothing can have been fetched
        yield cache_folder()


def cache_folder() -> Path:
    """Returns the folder in the user's cache that fetched models are put into."""
    return cache_home() / "models"


def find_model(name: str | os.PathLike[str]) -> Path:
    """Returns the folder of a model given by name, or by a path to a folder with a `model.json`.

    Raises:
      ModelNotFoundError: If there is none; the message lists the installed models.
    """
    known = folders()
    if str(name) in known:
        return known[str(name)]
    path = Path(name)
    if (path / "model.json").is_file():
        return path
    raise _not_found(str(name), known)


def _not_found(name: str, known: Iterable[str]) -> ModelNotFoundError:
    if name in PUBLISHED:
        megabytes = PUBLISHED[name].num_bytes / 1e6
        return ModelNotFoundError(
            f"model {name} is not installed: run `lmcompress fetch {name}` "
            f"(downloads {megabytes:.0f} MB)"
        )
    if name.startswith(HUB):
        return ModelNotFoundError(
            f"{name} is not an installed model: run `lmcompress fetch {name}` and use the name it "
            "gets, or score it with `lmcompress score --float`"
        )
    if (Path(name) / "config.json").is_file():
        return ModelNotFoundError(
            f"{name} is a folder of the transformers library: run `lmcompress fetch {name}` and "
            "use the name it gets"
        )
    hint = hub_hint(name) or did_you_mean(name, (*known, *PUBLISHED))
    return ModelNotFoundError(
        f"no model {name!r}: {hint}known are {', '.join(known) or 'none'}; "
        "give one of these, a model's folder, or set LMCOMPRESS_MODELS"
    )


def load_model(name: str | os.PathLike[str] = DEFAULT_MODEL) -> Model:
    """Loads a model by name or folder; the last few are cached.

    A checkpoint of floats, such as training writes, is quantized while it is loaded.

    Args:
      name: A name that `list_models` returns, "none" for no GPT, or a folder with a `model.json`.

    Raises:
      ModelNotFoundError: If the model is unknown, or its files are damaged.
    """
    if name == NO_MODEL:
        return Model(NO_MODEL, None, {}, EMBEDDED)
    return _load(find_model(name).resolve())


def as_model(model: AnyModel) -> Model:
    """Returns a loaded model as it is, and loads one given by name or folder."""
    return model if isinstance(model, Model) else load_model(model)


@functools.lru_cache(maxsize=4)
@default_floating_point()
def _load(folder: Path) -> Model:
    from lmcompress.models.checkpoint import load_exact_checkpoint

    card = read_manifest(folder)["card"]
    settle_after_fork()
    weights = load_exact_checkpoint(folder)
    return Model(card.get("name", folder.name), weights, card, folder)


def forget_loaded_models() -> None:
    """Empties the cache of `load_model`, after a model was replaced on disk."""
    _load.cache_clear()


def check_model(name: str | os.PathLike[str]) -> None:
    """Raises ModelNotFoundError if the model is unknown; loads nothing."""
    if name != NO_MODEL:
        find_model(name)


def load_model_of(name: str, fingerprint: bytes, override: AnyModel | None = None) -> Model:
    """Loads the installed model that made a file.

    Args:
      name: The name in the file's header: a hint, since a model may have been moved, and never a
        path or advice, since anyone may have written the file.
      fingerprint: The fingerprint in the file's header.
      override: The model to use instead of searching for one; its fingerprint is checked too.

    Raises:
      FingerprintMismatchError: If the model of that name, or `override`, is another model.
      ModelNotFoundError: If no such model is installed.
    """
    if override is not None:
        model = as_model(override)
    elif not any(fingerprint):
        return load_model(NO_MODEL)
    elif matching := _find_by_fingerprint(fingerprint):
        return _load(matching[0].resolve())
    elif name in folders():
        model = load_model(name)
    else:
        advice = f"run `lmcompress fetch {name}`" if name in PUBLISHED else _PASS_ITS_FOLDER
        raise ModelNotFoundError(
            f"the file was made with model {name!r} (fingerprint {fingerprint.hex()}), which is "
            f"not installed: {advice}"
        )
    if model.fingerprint != fingerprint:
        raise FingerprintMismatchError(
            f"the file was made with model {name!r} {fingerprint.hex()}, {model.folder} is "
            f"{model.fingerprint.hex()}: {_PASS_ITS_FOLDER}"
        )
    return model


def load_model_with(prefix: bytes, override: AnyModel | None = None) -> Model:
    """Loads the installed model whose fingerprint begins with `prefix`.

    Args:
      prefix: The first bytes of the fingerprint of the model that made a file.
      override: The model to use instead of searching for one; its fingerprint is checked too.

    Raises:
      FingerprintMismatchError: If `override` is another model.
      ModelNotFoundError: If no installed model matches, or more than one does.
    """
    made = f"the file was made with a model whose fingerprint begins with {prefix.hex()}"
    if override is not None:
        model = as_model(override)
        if model.fingerprint.startswith(prefix):
            return model
        raise FingerprintMismatchError(
            f"{made}, {model.folder} is {model.fingerprint.hex()}: {_PASS_ITS_FOLDER}"
        )
    if not any(prefix):
        return load_model(NO_MODEL)
    matching = _find_by_fingerprint(prefix)
    if len(matching) == 1:
        return _load(matching[0].resolve())
    if matching:
        raise ModelNotFoundError(
            f"{made}, as do those of {', '.join(map(str, matching))}: "
            "say which it was (model=... or -m)"
        )
    raise ModelNotFoundError(
        f"{made}, found none: known are {', '.join(folders()) or 'none'}; "
        f"{_PASS_ITS_FOLDER}, or set LMCOMPRESS_MODELS"
    )


def fingerprints() -> list[tuple[Path, str | None]]:
    """Returns the folder of each installed model and the fingerprint, in hex, in its manifest.

    The fingerprint of a float checkpoint is None: it is known only once the model is loaded.
    Folders that do not hold a readable model are left out, with a warning.
    """
    stated = []
    for folder in all_folders():
        try:
            stated.append((folder, read_manifest(folder).get("fingerprint")))
        except LmcompressError as exc:
            warn_left_out(folder, exc)
    return stated


def folders_with(prefix: bytes) -> list[Path]:
    """Returns the folders of installed models whose manifest has a fingerprint with this prefix.

    Of two copies of one model, only the first folder is returned.
    """
    return _matching(prefix, fingerprints())


def _find_by_fingerprint(prefix: bytes) -> list[Path]:
    """Like `folders_with`; if there are none, loads the models whose fingerprint is unknown."""
    stated = fingerprints()
    without = (folder for folder, fingerprint in stated if fingerprint is None)
    return _matching(prefix, stated) or _matching(prefix, _loaded_fingerprints(without))


def _loaded_fingerprints(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    for folder in paths:
        try:
            yield folder, _load(folder.resolve()).fingerprint.hex()
        except LmcompressError as exc:
            warn_left_out(folder, exc)


def _matching(prefix: bytes, models: Iterable[tuple[Path, str | None]]) -> list[Path]:
    by_fingerprint: dict[str, Path] = {}
    for folder, fingerprint in models:
        if fingerprint is not None and fingerprint.startswith(prefix.hex()):
            by_fingerprint.setdefault(fingerprint, folder)
    return list(by_fingerprint.values())


def warn_left_out(folder: Path, reason: Exception) -> None:
    """Logs that a folder among the installed models cannot be used."""
    _log.warning("left out %s: %s", folder, reason)
