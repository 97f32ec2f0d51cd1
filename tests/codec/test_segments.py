"""Segments of bytes under one predictor."""

from __future__ import annotations

import pytest

from lmcompress.codec.predictor import ContextPolicy, new_predictor
from lmcompress.format.frame import Method
from lmcompress.models.store import Model
from tests.support.coding import encoded
from tests.support.command_line import TEXT


@pytest.mark.parametrize("block", [1, 2, 5, 1000])
def test_the_encoder_writes_the_same_bytes_for_any_block(tiny_model: Model, block: int) -> None:
    policy = ContextPolicy.of(tiny_model.weights)
    methods = [Method.CODED, Method.MIXED]
    predictor = new_predictor(tiny_model.weights, 3, 40, policy)
    expected = encoded(TEXT, predictor, 3, 40, methods)

    predictor = new_predictor(tiny_model.weights, 3, block, policy)

    assert encoded(TEXT, predictor, 3, block, methods) == expected
