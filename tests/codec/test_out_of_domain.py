"""What a GPT knows nothing about is coded by the adaptive stage alone, and smaller for it."""

from __future__ import annotations

import io

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.codec import out_of_domain, requirements
from lmcompress.codec.costs import byte_costs
from lmcompress.codec.scoring import score
from lmcompress.codec.stream import decompress_stream
from lmcompress.errors import ModelNotFoundError
from lmcompress.format.file import read_frames
from lmcompress.format.frame import Method, Segment
from lmcompress.gpt.cpu.engine import CpuEngine
from lmcompress.models.store import Model
from tests.support.command_line import TEXT

SIZE = 8192
NUMBERS = (np.arange(SIZE // 4) ** 2).astype("<u4").tobytes()
NOISE = np.random.default_rng(0).bytes(SIZE)
LONG_TEXT = (TEXT * 1000)[:SIZE]


@pytest.fixture(autouse=True)
def _small_files_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out_of_domain, "MIN_SAMPLED_BYTES", SIZE)


def segments(file: bytes) -> list[tuple[Segment, bytes]]:
    return [found for reader in read_frames(io.BytesIO(file)) for found in reader]


def method_of(raw: bytes, model: Model | str = "lmc-3m", **options: object) -> Method:
    file = lmcompress.compress(raw, model, CodecConfig(**options))  # type: ignore[arg-type]
    assert lmcompress.decompress(file, model, CodecConfig(**options)) == raw  # type: ignore[arg-type]
    [(segment, _)] = segments(file)
    return segment.method


def test_a_segment_of_numbers_is_what_the_stage_alone_makes_of_it() -> None:
    [(segment, payload)] = segments(lmcompress.compress(NUMBERS, "lmc-3m"))
    [(expected, expected_payload)] = segments(lmcompress.compress(NUMBERS, "none"))

    assert (segment.method, expected.method) == (Method.ADAPTIVE, Method.MIXED)
    assert (segment.lanes, payload) == (expected.lanes, expected_payload)
    assert len(payload) < 0.8 * len(NUMBERS)
    assert method_of(NUMBERS) is Method.ADAPTIVE


def test_such_a_segment_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    file = lmcompress.compress(NUMBERS + LONG_TEXT, "lmc-3m", segment_bytes=SIZE)
    methods = [segment.method for segment, _ in segments(file)]
    assert methods == [Method.ADAPTIVE, Method.MIXED]

    def missing(*_: object) -> Model:
        raise ModelNotFoundError("it is not installed")

    monkeypatch.setattr(requirements, "load_model_of", missing)
    sink = io.BytesIO()
    with pytest.raises(ModelNotFoundError):
        decompress_stream(io.BytesIO(file), sink)

    assert sink.getvalue() == NUMBERS


def test_the_gpt_reads_samples_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read, predict = [], CpuEngine.predict

    def counting(self: CpuEngine, tokens: np.ndarray, *args: object) -> object:
        read.append(tokens.size)
        return predict(self, tokens, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(CpuEngine, "predict", counting)

    compressed = lmcompress.compress(NUMBERS, "lmc-3m")

    assert 0 < sum(read) <= 2048
    read.clear()
    assert lmcompress.decompress(compressed) == NUMBERS
    assert not read


def test_what_nothing_makes_smaller_is_stored() -> None:
    compressed = lmcompress.compress(NOISE, "lmc-3m")

    assert len(compressed) < len(NOISE) + 80
    assert [segment.method for segment, _ in segments(compressed)] == [Method.STORED]
    assert lmcompress.decompress(compressed) == NOISE


@pytest.mark.parametrize(
    "raw",
    [
        LONG_TEXT,
        LONG_TEXT[: len(LONG_TEXT) // 3] + NUMBERS,
        "Δεν ξέρω. Не знаю. 知りません。".encode() * 200,  # noqa: RUF001
        NUMBERS[:-1],
    ],
    ids=["text", "a part is text", "languages", "too small to be sampled"],
)
def test_what_the_gpt_may_know_is_read(raw: bytes) -> None:
    assert method_of(raw) in (Method.MIXED, Method.CODED)


@pytest.mark.parametrize(
    "options",
    [{"adaptive": False}, {"compact": True}, {"prompt": Prompt(NUMBERS[:1000])}],
    ids=lambda options: next(iter(options)),
)
def test_the_gpt_is_not_left_out(options: dict[str, object]) -> None:
    assert method_of(NUMBERS, **options) is not Method.ADAPTIVE


def test_what_is_no_text_to_a_model_of_tokens_is_left_to_the_stage(token_model: Model) -> None:
    small = NUMBERS[:3000]

    assert method_of(small, token_model) is Method.ADAPTIVE
    assert method_of(small, token_model, adaptive=False) is Method.STORED
    assert method_of(TEXT, token_model) in (Method.MIXED, Method.CODED)


@pytest.mark.parametrize("lanes", ["auto", 3])
def test_its_score_and_its_costs_are_those_of_the_file(lanes: int) -> None:
    config = CodecConfig(lanes=lanes)
    [(segment, payload)] = segments(lmcompress.compress(NUMBERS, "lmc-3m", config))

    found, costs = score(NUMBERS, "lmc-3m", config), byte_costs(NUMBERS, "lmc-3m", config)

    assert segment.lanes == (1 if lanes == "auto" else lanes)
    assert 0 <= 8 * len(payload) - found.quantized_code_length_bits < 128
    assert costs.payload_bytes == len(payload)
    assert costs.cost_bits == pytest.approx(found.quantized_code_length_bits)
    assert np.isnan(costs.trace.model_bits).all()


def test_samples_keep_to_the_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CpuEngine, "predict", None)  # it cannot run

    with pytest.raises(lmcompress.LimitExceededError):
        lmcompress.compress(NUMBERS, "lmc-3m", memory_limit=1)


@pytest.mark.parametrize("size", [SIZE, 3 * SIZE])
def test_threads_do_not_change_the_choice(size: int) -> None:
    raw = (NUMBERS + LONG_TEXT + NOISE)[:size]
    config = {"segment_bytes": SIZE}

    assert lmcompress.compress(raw, "lmc-3m", threads=1, **config) == lmcompress.compress(
        raw, "lmc-3m", threads=2, **config
    )
