"""The errors that a user of lmcompress can meet.

    LmcompressError
      CorruptFrameError          damaged, or never an .lmc file
        TruncatedFrameError      ends before it should
      UnsupportedVersionError    made by a newer format or arithmetic
      ModelNotFoundError         no model of that name here
        FingerprintMismatchError the model here is not the one that made the file
      UnsupportedModelError      a model of a kind that cannot be evaluated here
      PromptNotFoundError        the file needs the prompt that it was compressed with
      CorpusError                a corpus is missing, cannot be had, or has the wrong bytes
      MissingDependencyError     an optional package is needed
      TrainingError              a training configuration or checkpoint cannot be used

Each message says what was found, what was expected and what to do, in one line.
"""


class LmcompressError(Exception):
    """Base of all errors that lmcompress raises on purpose."""


class CorruptFrameError(LmcompressError):
    """The data is damaged or is not an .lmc file."""


class TruncatedFrameError(CorruptFrameError):
    """The data ends before the frame does."""


class UnsupportedVersionError(LmcompressError):
    """The file needs a newer lmcompress."""


class ModelNotFoundError(LmcompressError):
    """No model of the given name or path is at hand."""


class FingerprintMismatchError(ModelNotFoundError):
    """A model of that name is here, but it is not the one that made the file."""


class UnsupportedModelError(LmcompressError):
    """A published model whose architecture, or an option of it, cannot be evaluated here."""


class PromptNotFoundError(LmcompressError):
    """The file was compressed with a prompt that was not given, or another one was."""


class CorpusError(LmcompressError):
    """A corpus is missing, cannot be downloaded, or has the wrong bytes."""


class MissingDependencyError(LmcompressError):
    """An optional package is needed for this."""


class TrainingError(LmcompressError):
    """A training configuration or checkpoint cannot be used."""
