"""What a file may take is limited, and refused before it is taken."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lmcompress
from lmcompress import LimitExceededError
from lmcompress.adaptive.ends import ends_bytes
from lmcompress.adaptive.state import state_bytes
from lmcompress.codec.config import DEFAULT_MEMORY_LIMIT, CodecConfig
from lmcompress.codec.memory import check_memory, engine_bytes, memory_needed, segment_bytes
from lmcompress.codec.session import Session
from lmcompress.format.compact import CompactHeader, CompactSegment, pack_compact
from lmcompress.format.header import Method
from lmcompress.gpt.config import GPTConfig
from lmcompress.models.store import Model
from tests.support.command_line import TEXT

MEBIBYTE = 1 << 20


def many_lanes(model: Model, lanes: int = 4096) -> bytes:
    """Returns a frame of some 30 bytes that asks for as many lanes as a file may have."""
    header = CompactHeader(1, model.fingerprint[:4])
    segment = CompactSegment(Method.CODED, lanes, lanes, 4, b"\0\0\0\0")
    return pack_compact(header, segment, b"\0\0\0\0")


def test_thousands_of_lanes_are_refused_by_the_limit() -> None:
    model = lmcompress.load_model("lmc-3m")

    with pytest.raises(LimitExceededError, match=r"lanes: 4,096.*the limit is 1,536 MiB.*--memory"):
        lmcompress.decompress(many_lanes(model))


def test_what_is_refused_was_not_taken() -> None:
    program = (
        "import resource, lmcompress, tests.codec.test_memory as t\n"
        "model = lmcompress.load_model('lmc-3m')\n"
        "lmcompress.decompress(lmcompress.compress(b'warm', model))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: lmcompress.decompress(t.many_lanes(model))\n"
        "except lmcompress.LimitExceededError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )

    grown = subprocess.check_output([sys.executable, "-c", program], text=True)

    assert int(grown) < 50_000  # kB on Linux; bytes, and so a weaker claim, on macOS


def test_a_higher_limit_lets_the_file_through(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, lanes=64)

    with pytest.raises(LimitExceededError):
        lmcompress.decompress(frame, memory_limit=MEBIBYTE)
    assert lmcompress.decompress(frame, memory_limit=1024 * MEBIBYTE) == TEXT


def test_compression_is_limited_too(tiny_model: Model) -> None:
    with pytest.raises(LimitExceededError, match="memory_limit"):
        lmcompress.compress(TEXT, tiny_model, memory_limit=MEBIBYTE)


@pytest.mark.parametrize("name", ["none", "ladder-3200k", "lmc-3m"])
def test_the_default_admits_full_segments_in_automatic_lanes(name: str) -> None:
    session, size = Session(lmcompress.load_model(name)), CodecConfig().segment_bytes

    check_memory(session, session.lanes_for(size), size)
    check_memory(session, session.lanes_for(size), size, payload_bytes=size)


def test_the_default_admits_smollm2_135m_in_16_lanes_of_full_segments() -> None:
    shape = GPTConfig(
        vocab_size=49152, n_layer=30, n_head=9, n_kv_head=3, n_embd=576, mlp_hidden=1536,
        context_length=2048, activation="swiglu",
    )  # fmt: skip
    segment = CodecConfig().segment_bytes
    stage = state_bytes(segment, 16) + ends_bytes(16)

    needed = engine_bytes(shape, 16, 16, 2048) + stage + segment_bytes(segment, is_encoder=True)

    assert DEFAULT_MEMORY_LIMIT / 2 < needed <= DEFAULT_MEMORY_LIMIT


def test_what_a_prompt_taught_is_counted_for_each_segment() -> None:
    prompt = lmcompress.Prompt(b"It was the best of times. " * 40_000)
    model = lmcompress.load_model("none")
    plain = memory_needed(Session(model), 1, 1 << 16)
    primed = memory_needed(Session(model, CodecConfig(prompt=prompt)), 1, 1 << 16)

    assert plain < 100 * MEBIBYTE
    assert primed > 128 * MEBIBYTE  # 2**21 buckets of 64 bytes


@pytest.mark.parametrize("size", [100, 10_000])
def test_output_is_limited_before_a_segment_is_decoded(tiny_model: Model, size: int) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, segment_bytes=size)

    with pytest.raises(LimitExceededError, match="output_limit"):
        lmcompress.decompress(frame, output_limit=len(TEXT) - 1)
    assert lmcompress.decompress(frame, output_limit=len(TEXT)) == TEXT


@pytest.mark.parametrize("setting", [{"memory_limit": 0}, {"output_limit": -1}])
def test_limits_out_of_range_are_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"limit is (0|-1)"):
        CodecConfig(**setting)  # type: ignore[arg-type]
