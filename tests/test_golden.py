"""Files of every released format version decode for ever, and are still made byte for byte."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import lmcompress
from lmcompress import CodecConfig
from lmcompress.container import FrameReader, Method
from lmcompress.model_store import load_model

GOLDEN = sorted((Path(__file__).parent / "golden").glob("v*/*.lmc"))


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_golden_file_decodes(path: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(path.parent / "models"))

    raw = lmcompress.decompress(path.read_bytes(), config=CodecConfig(device=device))

    assert raw == (path.parent / "raw.bin").read_bytes()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_golden_file_is_still_made_byte_for_byte(path: Path) -> None:
    raw = (path.parent / "raw.bin").read_bytes()
    reader = FrameReader(io.BytesIO(path.read_bytes()))
    segments = [segment for segment, _ in reader]
    name, kind = path.stem.split(".")
    assert [segment.method for segment in segments] == [Method[kind.upper()], Method.STORED]

    config = CodecConfig(
        lanes=segments[0].lanes, segment_bytes=segments[0].raw_bytes, adaptive=kind == "mixed"
    )
    found = lmcompress.compress(raw, load_model(path.parent / "models" / name), config)

    assert found == path.read_bytes()


def test_there_is_a_golden_file_of_each_method_and_context_policy() -> None:
    readers = [FrameReader(io.BytesIO(p.read_bytes())) for p in GOLDEN]

    kinds = {(reader.header.window > 0, next(reader)[0].method) for reader in readers}

    assert kinds == {(w, m) for w in (False, True) for m in (Method.CODED, Method.MIXED)}
