"""Codes a text: a process encodes, a fresh one decodes from the file alone, bytes are compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from lmcompress.errors import NotProvenError
from lmcompress.prove import diagnosis
from lmcompress.prove.certificate import ModelFile, file_sha256
from lmcompress.prove.loading import CODEC, PREDICTOR
from lmcompress.prove.opened import OpenedFiles
from lmcompress.prove.predictors import bare_copy
from lmcompress.prove.processes import Answer, Settings, Subject, run
from lmcompress.prove.roles import split_file

ROLES = {PREDICTOR: ("encode", "decode"), CODEC: ("compress", "decompress")}
"""Who writes the file, and who reads it."""


@dataclasses.dataclass(frozen=True)
class Coded:
    """A text that was encoded and decoded."""

    kind: str
    """PREDICTOR or CODEC."""
    tokens: Answer
    encoded: Answer
    decoded: Answer
    symbols: diagnosis.Symbols
    """Of a predictor."""
    files: list[ModelFile]
    """Those that the encoder opened."""
    all_bytes: int
    """Of the files that were opened to tokenize or to encode."""
    knows_files: bool
    """Whether the kernel said which files were opened."""


def code(subject: Subject, path: Path, raw: bytes, settings: Settings) -> Coded:
    """Returns a text that came back from a file.

    Args:
      subject: The predictor or codec.
      path: Where the text lies.
      raw: The text.
      settings: How the processes run.

    Raises:
      NotProvenError: If it does not come back; says why.
    """
    with OpenedFiles(subject.folder) as opened:
        tokens = run("tokenize", subject, raw, settings)
        for_tokens = opened.paths()
    kind, symbols = tokens.facts["kind"], np.frombuffer(tokens.data, np.int32)
    if kind == CODEC and settings.normalise:
        raise NotProvenError("a Codec has no probabilities: leave out --normalise")
    encode, decode = ROLES[kind]
    with OpenedFiles(subject.folder) as opened, OpenedFiles(path) as readers:
        encoded = run(encode, subject, raw if kind == CODEC else tokens.data, settings)
        paths = opened.paths()
        if kind == PREDICTOR and split_file(encoded.data)[0] != len(symbols):
            raise NotProvenError("the file does not hold the symbols: it meddles with the coder")
        names = sorted(file.relative_to(subject.folder).as_posix() for file in paths)
        with bare_copy(subject, names) as bare:
            decoded = run(decode, bare, encoded.data, settings)
        _refuse_readers(readers, encoded)
        files = [ModelFile(n, *_size_and_hash(subject.folder / n)) for n in names]
        all_bytes = sum(file.stat().st_size for file in {*paths, *for_tokens})
        coded = Coded(kind, tokens, encoded, decoded, symbols, files, all_bytes, opened.is_known)
    if decoded.data != raw and kind == CODEC:
        raise diagnosis.explain_lost_text(subject, raw, encoded, decoded, settings)
    if decoded.data != raw:
        args = subject, symbols, raw, encoded, decoded, settings
        raise diagnosis.explain_divergence(*args)
    return coded


def _refuse_readers(readers: OpenedFiles, encoded: Answer) -> None:
    """Raises NotProvenError if the text was opened and nothing kept the predictor from doing so."""
    if not encoded.guards["landlock"] and readers.is_known and readers.paths():
        raise NotProvenError(
            "somebody opened the text while the predictor ran: close other programs that may, or "
            "it cheats"
        )


def _size_and_hash(path: Path) -> tuple[int, str]:
    return path.stat().st_size, file_sha256(path)
