"""Models by name or path: those in the package, in $LMCOMPRESS_MODELS, fetched, or in a folder.

Looking at a model (name, size, fingerprint) reads a small JSON file; torch is imported only when
its weights are loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompress.errors import FingerprintMismatchError, LmcompressError, ModelNotFoundError
from lmcompress.gpt.config import GPTConfig
from lmcompress.models.catalog import PUBLISHED
from lmcompress.models.manifest import read_card, stored_bytes
from lmcompress.system.cache import cache_home

if TYPE_CHECKING:
    from lmcompress.gpt.quantization import ExactWeights
    from lmcompress.tokenizer.vocabulary import TokenTable

DEFAULT_MODEL = "lmc-3m"
NO_MODEL = "none"
"""Names the absence of a GPT: every byte equally likely, but for what the adaptive stage learns."""
BYTES, TOKENS = "bytes", "tokens"
"""Tokenizers, as files name them."""
EMBEDDED = Path(__file__).parent / "embedded"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Model:
    """A quantized GPT with its name and card; without weights, none."""

    name: str
    weights: ExactWeights | None
    card: dict[str, Any]
    folder: Path

    @functools.cached_property
    def fingerprint(self) -> bytes:
        """16 bytes over all that can change a prediction."""
        return self.weights.fingerprint if self.weights else bytes(16)

    @property
    def tokens(self) -> TokenTable | None:
        """What the symbols stand for; None: bytes."""
        return self.weights.tokens if self.weights else None

    @property
    def tokenizer(self) -> str:
        """What files of this model name as their tokenizer."""
        return TOKENS if self.tokens else BYTES

    @property
    def num_parameters(self) -> int:
        """Parameters of the network."""
        return self.weights.config.num_parameters if self.weights else 0

    @property
    def model_bytes(self) -> int:
        """Bytes of the stored weights."""
        return self.weights.model_bytes if self.weights else 0


AnyModel = str | os.PathLike[str] | Model
"""A name, a checkpoint's folder, or a loaded model."""


def all_folders() -> list[Path]:
    """Returns the folders of the models at hand, embedded ones first; names may repeat."""
    return [
        path
        for root in _roots()
        if root.is_dir()
        for path in sorted(root.iterdir())
        if (path / "model.json").is_file()
    ]


def folders() -> dict[str, Path]:
    """Returns the models at hand by name, of several of one name the first, embedded ones first."""
    found: dict[str, Path] = {}
    for path in all_folders():
        found.setdefault(path.name, path)
    return found


def _roots() -> Iterator[Path]:
    yield EMBEDDED
    for part in os.environ.get("LMCOMPRESS_MODELS", "").split(os.pathsep):
        if part:
            yield Path(part)
    with contextlib.suppress(LmcompressError):  # who has no home has fetched nothing
        yield cache_folder()


def cache_folder() -> Path:
    """Returns the folder of models that were fetched, in the user's cache."""
    return cache_home() / "models"


def find_model(name: str | os.PathLike[str]) -> Path:
    """Returns the folder of a model given by name, or by path if it holds `model.json`.

    Raises:
      ModelNotFoundError: If there is none; the message lists the names known and the nearest.
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
        return ModelNotFoundError(
            f"model {name} is not at hand yet: run lmcompress fetch {name} (it downloads "
            f"{PUBLISHED[name].num_bytes / 1e6:.0f} MB)"
        )
    if name.startswith("hf:"):
        return ModelNotFoundError(
            f"{name} is no model at hand: run lmcompress fetch {name} and use its name, or score "
            "with --float"
        )
    nearest = difflib.get_close_matches(name, (*known, *PUBLISHED), n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return ModelNotFoundError(
        f"no model {name!r}: {hint}known are {', '.join(known) or 'none'}; "
        "give one of these, a checkpoint's folder, or set LMCOMPRESS_MODELS"
    )


def load_model(name: str | os.PathLike[str] = DEFAULT_MODEL) -> Model:
    """Loads a model by name or folder (cached); a float checkpoint is quantized on the way."""
    if name == NO_MODEL:
        return Model(NO_MODEL, None, {}, EMBEDDED)
    return _load(find_model(name).resolve())


def as_model(model: AnyModel) -> Model:
    """Returns a loaded model, or loads the one of that name or folder."""
    return model if isinstance(model, Model) else load_model(model)


@functools.lru_cache(maxsize=4)
def _load(folder: Path) -> Model:
    from lmcompress.models.checkpoint import load_exact_checkpoint

    card = read_card(folder)["card"]
    return Model(card.get("name", folder.name), load_exact_checkpoint(folder), card, folder)


def check_model(name: str | os.PathLike[str]) -> None:
    """Raises ModelNotFoundError if there is no such model; loads nothing."""
    if name != NO_MODEL:
        find_model(name)


def load_model_of(name: str, fingerprint: bytes, override: AnyModel | None = None) -> Model:
    """Loads the model that made a file, wherever it is at hand.

    Args:
      name: The name in the file's header: a hint, since a model may have been moved, and never a
        path, since anyone may have written the file.
      fingerprint: The fingerprint in the file's header.
      override: A name, a folder or a loaded model that is to be the one.

    Raises:
      FingerprintMismatchError: If the model of that name, or `override`, is another one.
      ModelNotFoundError: If there is none.
    """
    known = folders()
    if override is not None:
        model = as_model(override)
    elif not any(fingerprint):
        return load_model(NO_MODEL)
    elif found := folders_with(fingerprint) or folders_with(fingerprint, load=True):
        return _load(found[0].resolve())
    elif name in known:
        model = load_model(name)
    else:
        raise _not_found(name, known)
    if model.fingerprint != fingerprint:
        raise FingerprintMismatchError(
            f"the file was made with model {name} {fingerprint.hex()}, {model.folder} is "
            f"{model.fingerprint.hex()}: pass -m with the folder of the model that made it"
        )
    return model


def load_model_with(prefix: bytes, override: AnyModel | None = None) -> Model:
    """Loads the model whose fingerprint begins with `prefix`, wherever it is at hand.

    Args:
      prefix: The first bytes of the fingerprint of the model that made a file.
      override: A name, a folder or a loaded model that is to be the one.

    Raises:
      FingerprintMismatchError: If `override` is another model.
      ModelNotFoundError: If no model at hand is the one, or more than one may be.
    """
    made = f"the file was made with a model whose fingerprint begins with {prefix.hex()}"
    if override is not None:
        model = as_model(override)
        if model.fingerprint.startswith(prefix):
            return model
        raise FingerprintMismatchError(
            f"{made}, {model.folder} is {model.fingerprint.hex()}: "
            "pass -m with the folder of the model that made it"
        )
    if not any(prefix):
        return load_model(NO_MODEL)
    found = folders_with(prefix) or folders_with(prefix, load=True)
    if len(found) == 1:
        return _load(found[0].resolve())
    if found:
        raise ModelNotFoundError(
            f"{made}, as do those of {', '.join(map(str, found))}: say with -m which of them it was"
        )
    raise ModelNotFoundError(
        f"{made}, found none: known are {', '.join(folders()) or 'none'}; "
        "pass -m with the folder of the model that made it, or set LMCOMPRESS_MODELS"
    )


def folders_with(prefix: bytes, *, load: bool = False) -> list[Path]:
    """Returns the folders of models at hand whose fingerprint begins with `prefix`.

    Of the same model in two folders, the first is returned. Models whose card does not tell are
    loaded if `load` says so, and passed over if not.
    """
    found: dict[str, Path] = {}
    for folder, fingerprint in fingerprints():
        if fingerprint is None and load:
            try:
                fingerprint = _load(folder.resolve()).fingerprint.hex()
            except LmcompressError as exc:
                _log.warning("left out %s: %s", folder, exc)
        if fingerprint is not None and fingerprint.startswith(prefix.hex()):
            found.setdefault(fingerprint, folder)
    return list(found.values())


def fingerprints() -> list[tuple[Path, str | None]]:
    """Returns the folders of the models at hand, each with the fingerprint, in hex, on its card.

    None stands for float checkpoints, whose fingerprint is known once they are loaded. What is no
    model is left out, and logged.
    """
    found = []
    for folder in all_folders():
        try:
            found.append((folder, read_card(folder).get("fingerprint")))
        except LmcompressError as exc:
            _log.warning("left out %s: %s", folder, exc)
    return found


def describe_models() -> list[dict[str, Any]]:
    """Returns one row for each model at hand, JSON-ready; what is none is left out, and logged."""
    rows = []
    for name, folder in folders().items():
        try:
            rows.append(_describe(name, folder))
        except (LmcompressError, OSError, ValueError) as exc:
            _log.warning("left out %s: %s", folder, exc)
    return [*rows, _describe_none()]


def _describe_none() -> dict[str, Any]:
    none = load_model(NO_MODEL)
    return {
        "name": none.name,
        "default": False,
        "num_parameters": none.num_parameters,
        "model_bytes": none.model_bytes,
        "context_length": 0,
        "fingerprint": none.fingerprint.hex(),
        "trained_on": [],
        "bytes_seen": 0,
    }


def _describe(name: str, folder: Path) -> dict[str, Any]:
    description = read_card(folder)
    config, card = GPTConfig.from_dict(description["config"]), description["card"]
    return {
        "name": name,
        "default": name == DEFAULT_MODEL,
        "num_parameters": config.num_parameters,
        "model_bytes": stored_bytes(folder),
        "context_length": config.context_length,
        "fingerprint": description.get("fingerprint") or load_model(name).fingerprint.hex(),
        "trained_on": card.get("trained_on", []),
        "bytes_seen": card.get("bytes_seen"),
    }
