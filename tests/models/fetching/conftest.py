"""What tests of fetching share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that fetched models go to."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would stand among our lines
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lmcompress" / "models"
