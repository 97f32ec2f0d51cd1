"""The errors that lmcompress raises on purpose.

    LmcompressError
      CorruptFrameError            damaged data, or not an .lmc file
        TruncatedFrameError        the data ends too early
      UnsupportedVersionError      made by a newer format or arithmetic
      ModelNotFoundError           no such model, or it is not installed
        FingerprintMismatchError   the model found is not the one that made the file
      UnsupportedModelError        the model's architecture or tokenizer is not supported
      PromptNotFoundError          the file needs the prompt that it was compressed with
      LimitExceededError           it takes more memory, or holds more bytes, than is allowed
      CorpusError                  a corpus is missing, cannot be downloaded, or has the wrong bytes
      MissingDependencyError       an optional package is needed
      TrainingError                a training configuration or checkpoint cannot be used
      ClusterError                 a Ray cluster does not answer, or all nodes were left out
      NotProvenError               no file shows a predictor's figure, or a certificate is bad

Each message says in one line what was found, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MIN_SIMILARITY = 0.76
"""A typo comes closer than this: gzip-10 to gzip-9 (0.77), but not gpt4 to gpt1 (0.75)."""


class LmcompressError(Exception):
    """Base class of all errors that lmcompress raises on purpose."""


class CorruptFrameError(LmcompressError):
    """The data is damaged or is not an .lmc file."""


class TruncatedFrameError(CorruptFrameError):
    """The data ends before the frame does."""


class UnsupportedVersionError(LmcompressError):
    """The file needs a newer lmcompress."""


class ModelNotFoundError(LmcompressError):
    """There is no model of the given name or in the given folder."""


class FingerprintMismatchError(ModelNotFoundError):
    """The model found is not the one that made the file."""


class UnsupportedModelError(LmcompressError):
    """The model's architecture or tokenizer, or one of their options, is not supported."""


class PromptNotFoundError(LmcompressError):
    """The file was compressed with a prompt, and it was not given, or another one was."""


class LimitExceededError(LmcompressError):
    """The data takes more memory, or decodes to more bytes, than the configuration allows."""


class CorpusError(LmcompressError):
    """A corpus is missing, cannot be downloaded, or has the wrong bytes."""


class MissingDependencyError(LmcompressError):
    """An optional package is needed for this."""


class TrainingError(LmcompressError):
    """A training configuration or checkpoint cannot be used."""


class ClusterError(LmcompressError):
    """A Ray cluster does not answer, has no room, or every node was left out."""


class NotProvenError(LmcompressError):
    """No file could be decoded that shows a predictor's figure, or a certificate is refused."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns "did you mean X? " for an unknown name, or "" if no known name is near.

    Near are up to three names that begin or end with `name`; if none does, the one that it may be
    a typo of.
    """
    if not name:
        return ""
    by_lower = {other.lower(): other for other in known}
    wanted = name.lower()
    near = [other for other in by_lower if other.startswith(wanted) or other.endswith(wanted)][:3]
    near = near or difflib.get_close_matches(wanted, by_lower, 1, _MIN_SIMILARITY)
    return f"did you mean {' or '.join(by_lower[other] for other in near)}? " if near else ""
