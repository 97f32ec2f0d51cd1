"""Segments coded under a predictor of a test's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from lmcompress.codec.byte_segments import decode_segment, encode_segment
from lmcompress.codec.predictor import Predictor
from lmcompress.codec.session import Opened
from lmcompress.format.frame import Method

AnyPredictor = TypeVar("AnyPredictor", bound=Predictor)


def opened(predictor: AnyPredictor, lanes: int, block: int = 1) -> Opened[AnyPredictor]:
    return Opened(predictor, lanes, block, predictor.bos_id)


def encoded(
    raw: bytes,
    predictor: Predictor,
    lanes: int,
    block: int,
    methods: Sequence[Method] = (Method.CODED,),
) -> list[bytes]:
    """Returns one segment's payload for each method."""
    coders = encode_segment(raw, opened(predictor, lanes, block), methods)
    return [coder.payload() for coder in coders]


def decoded(
    payload: bytes,
    raw_bytes: int,
    predictor: Predictor,
    lanes: int,
    method: Method = Method.CODED,
) -> bytes:
    """Inverts `encoded`."""
    return decode_segment(payload, raw_bytes, opened(predictor, lanes), method)
