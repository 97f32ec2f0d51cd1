"""Kernels run where nothing can be written, too."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numba.core.caching import CacheImpl

from lmcompress.gpt.kernels_cpu import kernel


def test_a_kernel_compiles_where_no_cache_can_be_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @kernel
    def add_one(x):  # type: ignore[no-untyped-def]
        for i in range(x.shape[0]):
            x[i] += 1

    x = np.zeros(3, np.int64)
    with caplog.at_level(logging.WARNING, "lmcompress"):
        add_one(x)

    assert x.tolist() == [1, 1, 1]
    assert "NUMBA_CACHE_DIR" in caplog.text
