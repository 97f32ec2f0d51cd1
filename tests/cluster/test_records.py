"""Runs of the same model may share a folder of records."""

from __future__ import annotations

from pathlib import Path

import lmcompress
from lmcompress.cluster.records import Records


def test_a_run_that_ends_takes_nothing_from_another(tmp_path: Path) -> None:
    frame = lmcompress.compress(b"to be or not to be", "none")
    first, second = (Records(tmp_path / "records") for _ in range(2))

    first.save("a", "node", frame)
    first.remove(["a"])
    assert not (tmp_path / "records").exists()
    second.save("b", "node", frame)

    assert second.load("b") == frame
    assert second.load("a") is None
