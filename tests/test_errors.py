"""What suggestions for an unknown name are made of."""

from __future__ import annotations

import pytest

from lmcompress.errors import did_you_mean

KNOWN = (
    "gpt1",
    "gpt2-small",
    "gpt2-medium",
    "gpt2-large",
    "gpt2-xl",
    "gzip-9",
    "canterbury/alice29.txt",
    "lmc-3m",
)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("lmc3m", "lmc-3m"),
        ("gzip-10", "gzip-9"),
        ("GPT2-XL", "gpt2-xl"),
        ("alice29.txt", "canterbury/alice29.txt"),
        ("gpt2", "gpt2-small or gpt2-medium or gpt2-large"),
    ],
)
def test_a_typo_or_a_part_suggests_what_was_meant(name: str, suggestion: str) -> None:
    assert did_you_mean(name, KNOWN) == f"did you mean {suggestion}? "


@pytest.mark.parametrize("name", ["gpt4", "zstd", ""])
def test_another_name_suggests_nothing(name: str) -> None:
    assert did_you_mean(name, KNOWN) == ""
