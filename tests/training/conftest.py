"""What tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmcompress.training.config import TrainConfig
from tests.support.training_run import make_config


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    return make_config(tmp_path)
