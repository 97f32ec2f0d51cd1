"""Text of a Hugging Face dataset as one corpus, through the optional `datasets` package."""

from __future__ import annotations

import importlib
from typing import Any

from lmcompress.errors import CorpusError, MissingDependencyError


def load_from_hub(name: str) -> bytes:
    """Returns one field of all records of "hf:NAME:CONFIG:SPLIT:FIELD", joined by newlines.

    An empty CONFIG stands for the dataset's default. The text is whatever the hub serves today:
    record its SHA-256 beside any figure.

    Raises:
      CorpusError: If the name has not four parts, or the dataset or field cannot be had.
      MissingDependencyError: If `datasets` is not installed.
    """
    parts = name.removeprefix("hf:").split(":")
    if len(parts) != 4:
        raise CorpusError(f"{name} has {len(parts)} parts, expected hf:NAME:CONFIG:SPLIT:FIELD")
    dataset_name, config, split, field = parts
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} needs the datasets package: pip install 'lmcompress[datasets]'"
        ) from error
    try:
        records = datasets.load_dataset(dataset_name, config or None, split=split)
        return "\n".join(record[field] for record in records).encode()
    except Exception as error:  # datasets and its backends raise errors of many libraries
        reason = " ".join(str(error).split())
        raise CorpusError(f"cannot load {name} ({type(error).__name__}: {reason})") from error
