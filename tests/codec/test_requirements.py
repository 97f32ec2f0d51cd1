"""What a header asks for: a context policy and an arithmetic that are known here."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

import lmcompress
from lmcompress.codec.predictor import ContextPolicy
from lmcompress.codec.requirements import frame_header
from lmcompress.errors import CorruptFrameError, UnsupportedVersionError
from lmcompress.format.frame import raw_checksum
from lmcompress.format.full import FrameWriter
from lmcompress.models.store import Model
from tests.support.command_line import TEXT
from tests.support.exactness import random_weights


@pytest.mark.parametrize("window", [0, 49])
def test_a_window_that_the_model_does_not_have_is_refused(window: int, tmp_path: Path) -> None:
    model, sink = Model("gpt-2", random_weights("gpt-2"), {}, tmp_path), io.BytesIO()
    writer = FrameWriter(sink, frame_header(model, ContextPolicy(window)))
    writer.write_coded(len(TEXT), 1, bytes(64), raw_checksum(TEXT))
    writer.finish()

    with pytest.raises(CorruptFrameError, match="context is 48"):
        lmcompress.decompress(sink.getvalue(), model=model)


def test_a_newer_arithmetic_is_refused(tiny_model: Model) -> None:
    header = dataclasses.replace(frame_header(tiny_model, ContextPolicy()), arithmetic_version=99)
    sink = io.BytesIO()
    writer = FrameWriter(sink, header)
    writer.write_coded(3, 1, b"1234", raw_checksum(b"abc"))
    writer.finish()

    with pytest.raises(UnsupportedVersionError, match="99"):
        lmcompress.decompress(sink.getvalue())
