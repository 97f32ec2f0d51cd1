"""False figures of others: what is committed is what the records give, and no file shows them."""

from __future__ import annotations

from typing import Any

import pytest

from experiments import claims
from experiments.support.records import RESULTS
from lmcompress import corpora
from lmcompress.benchmark.records import read_rows
from tests.support.predictors import TEXT

ROWS = claims.in_order(read_rows(RESULTS / claims.NAME / "records.jsonl"))
MISCOUNTED = {"bytes counted twice", "parts of characters as U+FFFD"}
STORED = "trained on the text"
"""Decoding cannot see it; its bytes with the model show it."""


def test_every_false_claim_is_on_record() -> None:
    assert len(ROWS) == len(claims.names()) == 12


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["kind"])
def test_no_file_shows_a_false_figure(row: dict[str, Any]) -> None:
    is_proven = row["what prove says"].startswith("proven")

    assert row["file"] is None or row["file"] > row["claimed"]
    assert is_proven == (row["kind"] in {*MISCOUNTED, STORED})
    if row["kind"] == STORED:
        assert row["file and model"] > 8
    elif is_proven:
        assert "divides by" in row["what prove says"]


def test_a_false_claim_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "load", lambda _: TEXT)

    row = claims.measure("two_passes")

    assert row["kind"] == "a second pass"
    assert row["claimed"] < 1 < row["file"] < row["file and model"]
    assert f"score() claims {row['claimed']:.4f} bits per byte" in row["what prove says"]
    assert "it looks ahead" in row["what prove says"]
