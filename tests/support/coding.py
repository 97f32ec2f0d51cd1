"""Segments coded under a predictor of a test's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.predictor import Predictor
from lmcompress.codec.segments import decode_segment, encode_segment
from lmcompress.codec.session import Opened
from lmcompress.format.frame import Method


def opened(predictor: Predictor, lanes: int, block: int = 1) -> Opened:
    return Opened(predictor, lanes, block, predictor.bos_id)


def lane_lengths(num_bytes: int, lanes: int) -> list[int]:
    """Returns the lengths of the lanes of a model of bytes."""
    return LaneLayout(num_bytes, lanes).sums(np.ones(num_bytes, np.int64))


def encoded(
    raw: bytes,
    predictor: Predictor,
    lanes: int,
    block: int,
    methods: Sequence[Method] = (Method.CODED,),
) -> list[bytes]:
    """Returns one segment's payload for each method."""
    symbols = np.frombuffer(raw, np.uint8).astype(np.int32)
    lengths = lane_lengths(len(raw), lanes)
    coders = encode_segment(symbols, lengths, opened(predictor, lanes, block), methods)
    return [coder.payload() for coder in coders]


def decoded(
    payload: bytes,
    raw_bytes: int,
    predictor: Predictor,
    lanes: int,
    method: Method = Method.CODED,
) -> bytes:
    """Inverts `encoded`."""
    lengths = lane_lengths(raw_bytes, lanes)
    return decode_segment(payload, lengths, opened(predictor, lanes), method)
