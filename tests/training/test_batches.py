"""What training reads: which bytes of its sources, how many at once, and with which line ends."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from lmcompress.errors import TrainingError
from lmcompress.training.batches import Batches
from lmcompress.training.config import TrainConfig


def test_the_last_bytes_of_a_source_are_never_drawn(config: TrainConfig) -> None:
    config = dataclasses.replace(config, crlf_fraction=0.0)
    batches = Batches(config)
    [name] = config.sources
    whole = Path(name).read_bytes()

    drawn = [
        row.numpy().astype(np.uint8).tobytes() for i in range(50) for row in batches.step(i)[1]
    ]

    assert all(row in whole[:-512] for row in drawn)
    held_out = torch.cat([t.flatten() for _, t in batches.validation(name)])
    assert held_out.numpy().astype(np.uint8).tobytes() == whole[-512:]


def test_some_sequences_have_crlf_line_ends(config: TrainConfig) -> None:
    batches = Batches(config)

    rows = [row.numpy().astype(np.uint8).tobytes() for i in range(20) for row in batches.step(i)[1]]

    assert 0 < sum(b"\r\n" in row for row in rows) < len(rows)


def test_a_run_that_begins_with_short_sequences_keeps_its_bytes_a_step(
    config: TrainConfig,
) -> None:
    config = dataclasses.replace(config, short_sequence_length=16, short_fraction=0.5)
    batches = Batches(config)

    shapes = [tuple(batches.step(step)[1].shape) for step in range(batches.num_steps)]

    assert shapes == [(16, 16)] * 10 + [(4, 64)] * 10


def test_processes_draw_different_sequences(config: TrainConfig) -> None:
    first, second = (Batches(config, rank, 2).step(0)[1] for rank in range(2))

    assert first.shape == (2, 64)
    assert not torch.equal(first, second)


def test_a_source_that_is_too_short_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    config = dataclasses.replace(config, holdout_bytes=10**6)

    with pytest.raises(TrainingError, match="too few"):
        Batches(config)
