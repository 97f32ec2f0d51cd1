"""Processors: those that we may run on, or our share of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lmcompress.system import cpus

HERE = cpus.usable_cpus()


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("100000 100000", 1), ("150000 100000", 1), ("25000 100000", 1), ("max 100000", HERE),
     ("99999999 100000", HERE), ("", HERE)],
)  # fmt: skip
def test_a_container_has_its_quota(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(cpus, "_QUOTA", tmp_path / "cpu.max")

    assert cpus.usable_cpus() == expected


def test_without_a_quota_they_are_those_that_we_may_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "_QUOTA", tmp_path / "no such file")

    assert 1 <= cpus.usable_cpus() <= (os.cpu_count() or 1)
