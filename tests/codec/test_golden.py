"""Files of every released format version decode for ever, and are still made byte for byte."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import pytest

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.codec.prompt import prompt_lanes
from lmcompress.format.compact import CompactReader
from lmcompress.format.frame import Method
from lmcompress.format.full import FrameReader
from lmcompress.models.store import load_model

ROOT = Path(__file__).parents[1] / "golden"
GOLDEN = sorted((*ROOT.glob("v*/*.lmc"), *ROOT.glob("ngrams*/*.lmc")))
TOKENS = sorted(ROOT.glob("tokens*/*.lmc"))
PROMPTS = sorted(ROOT.glob("prompt*/*.lmc"))
COMPACT = sorted(ROOT.glob("compact*/*.lmc"))
MODELS = {"compact1": ROOT / "v1" / "models"}


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


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("path", COMPACT, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_compact_golden_file_decodes(
    path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(MODELS[path.parent.name]))
    prompt = Prompt((path.parent / "prompt.bin").read_bytes())

    raw = lmcompress.decompress(path.read_bytes(), None, CodecConfig(device=device, prompt=prompt))

    assert raw == (path.parent / "raw.bin").read_bytes()


@pytest.mark.parametrize("path", COMPACT, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_compact_golden_file_is_still_made_byte_for_byte(path: Path) -> None:
    reader = CompactReader(io.BytesIO(path.read_bytes()))
    [(segment, _)] = reader
    name, kind = path.stem.split(".")
    assert segment.method is Method[kind.upper()]

    prompt = Prompt((path.parent / "prompt.bin").read_bytes())
    config = CodecConfig(
        lanes=segment.lanes,
        adaptive=kind == "mixed",
        prompt=prompt if reader.header.prompt_sha256 else None,
        compact=True,
    )
    raw = (path.parent / "raw.bin").read_bytes()
    found = lmcompress.compress(raw, load_model(MODELS[path.parent.name] / name), config)

    assert found == path.read_bytes()


def test_there_is_a_compact_golden_file_with_and_without_lanes_and_prompt() -> None:
    kinds = set()
    for path in COMPACT:
        reader = CompactReader(io.BytesIO(path.read_bytes()))
        [(segment, _)] = reader
        kinds.add((path.stem.split(".")[0], segment.lanes > 1, bool(reader.header.prompt_sha256)))

    assert kinds == {
        (name, *kind)
        for name in ("golden-stream", "golden-window")
        for kind in ((True, False), (False, True))
    }


@pytest.mark.parametrize("path", PROMPTS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_golden_file_after_a_prompt_in_lanes_decodes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(MODELS["compact1"]))
    raw = (path.parent / "raw.bin").read_bytes()
    text = raw[len(raw) // 2 :] * 40
    assert prompt_lanes(len(text)) > 1
    # How many lanes are automatic for a file may change, that of a prompt may not.
    monkeypatch.setattr("lmcompress.codec.lanes.AUTO_MAX_LANES", 2)
    config = CodecConfig(prompt=Prompt(text, "forty"))

    assert lmcompress.decompress(path.read_bytes(), config=config) == raw

    name = "none" if path.stem == "none" else MODELS["compact1"] / path.stem
    again = lmcompress.compress(raw, name, dataclasses.replace(config, lanes=2))
    assert again == path.read_bytes()


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_golden_file_with_an_adaptive_segment(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(MODELS["compact1"]))
    golden = (ROOT / "adaptive1" / "golden-stream.lmc").read_bytes()
    raw = (ROOT / "adaptive1" / "raw.bin").read_bytes()
    segments = [segment for segment, _ in FrameReader(io.BytesIO(golden))]

    assert [segment.method for segment in segments] == [Method.ADAPTIVE, Method.MIXED]
    config = CodecConfig(device=device)
    assert lmcompress.decompress(golden, config=config) == raw
    config = dataclasses.replace(config, segment_bytes=segments[0].raw_bytes)
    assert lmcompress.compress(raw, "golden-stream", config) == golden


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("path", TOKENS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_golden_file_of_tokens_decodes_without_a_tokenizer(
    path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(path.parent / "models"))
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    raw = lmcompress.decompress(path.read_bytes(), config=CodecConfig(device=device))

    whole = (path.parent / "raw.bin").read_bytes()
    expected = whole[: len(whole) - 600] if "compact" in path.stem else whole  # without its noise
    assert raw == expected


@pytest.mark.parametrize("path", TOKENS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_golden_file_of_tokens_is_still_made_byte_for_byte(path: Path) -> None:
    pytest.importorskip("tokenizers")
    model = load_model(path.parent / "models" / "golden-tokens")
    raw = (path.parent / "raw.bin").read_bytes()
    if "compact" in path.stem:
        [(segment, _)] = CompactReader(io.BytesIO(path.read_bytes()))
        config = CodecConfig(lanes=segment.lanes, compact=True)
        raw = raw[: segment.raw_bytes]
    else:
        segments = [segment for segment, _ in FrameReader(io.BytesIO(path.read_bytes()))]
        kind = path.stem.split(".")[1]
        assert [segment.method for segment in segments] == [Method[kind.upper()], Method.STORED]
        config = CodecConfig(
            lanes=segments[0].lanes,
            segment_bytes=segments[0].raw_bytes,
            adaptive=kind == "mixed",
        )

    assert lmcompress.compress(raw, model, config) == path.read_bytes()


def test_there_are_golden_files_of_tokens_of_all_kinds() -> None:
    kinds = {path.stem.split(".")[1] for path in TOKENS}

    assert kinds == {"coded", "mixed", "compact"}
