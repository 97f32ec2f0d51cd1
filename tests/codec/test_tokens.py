"""Files of a model of tokens: any bytes come back, and decoding needs no tokenizer."""

from __future__ import annotations

import dataclasses
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.codec import segments
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.predictor import (
    ContextPolicy,
    DeviceTokenPredictor,
    Predictor,
    TokenPredictor,
    new_predictor,
)
from lmcompress.codec.requirements import frame_header
from lmcompress.codec.segments import decode_segment, encode_segment
from lmcompress.errors import (
    CorruptFrameError,
    FingerprintMismatchError,
    ModelNotFoundError,
    PromptNotFoundError,
    UnsupportedModelError,
)
from lmcompress.format.frame import Method, raw_checksum
from lmcompress.format.full import FrameReader, FrameWriter
from lmcompress.format.wire import encode_varint
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.store import Model, load_model
from lmcompress.tokenizer.bpe import tokenizer_of

pytest.importorskip("tokenizers")

from tests.support.coding import opened
from tests.support.damage import assert_damage_is_found
from tests.support.token_model import MISSING, SPECIAL, TEXT

PNG = b"\x89PNG\r\n\x1a\n" + np.random.default_rng(2).integers(0, 256, 600, np.uint8).tobytes()
INPUTS = {
    "text": TEXT * 3,
    "chinese": "今天天气很好我们去公园散步。".encode() * 3,
    "russian": "Преступление и наказание, часть первая.".encode() * 3,
    "arabic": "قال ابن سيرين في تفسير الأحلام".encode() * 3,
    "hindi": "जय हनुमान ज्ञान गुन सागर".encode() * 3,
    "png": PNG,
    "invalid bytes in text": TEXT + b"\xff\xfe" + TEXT + b"\xe2\x82" + TEXT,
    "bytes without a token": TEXT + MISSING + TEXT + MISSING[:1],
    "special token in text": TEXT + SPECIAL.encode() + TEXT + SPECIAL.encode() * 2,
    "latin-1": "Mühlbäche fließen über Äcker ".encode("latin-1") * 4 + TEXT * 3,
}


@pytest.mark.parametrize("lanes", ["auto", 1, 3, 64])
@pytest.mark.parametrize("raw", INPUTS.values(), ids=INPUTS.keys())
def test_text_of_all_kinds_comes_back(token_model: Model, raw: bytes, lanes: object) -> None:
    frame = lmcompress.compress(raw, token_model, CodecConfig(lanes=lanes))  # type: ignore[arg-type]

    assert lmcompress.decompress(frame) == raw
    assert len(frame) <= len(raw) + 100


def test_awkward_inputs_come_back(token_model: Model, awkward_input: bytes) -> None:
    frame = lmcompress.compress(awkward_input[:1500], token_model)

    assert lmcompress.decompress(frame) == awkward_input[:1500]
    assert len(frame) <= len(awkward_input[:1500]) + 100


PIECES = [
    *(bytes([byte]) for byte in range(256)),
    *(part.encode() for part in ("e\u0301", "\U0001f3f3\ufe0f\u200d", "\u202eabc", "한", "ﷺ")),
    *(SPECIAL.encode(), SPECIAL.encode()[:-1], b"\r\n", TEXT[:40]),
    *(b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"),  # no UTF-8
]


def awkward_texts(count: int) -> Iterator[bytes]:
    """Yields every single byte, then runs of pieces that a tokenizer might not expect."""
    yield from PIECES[:256]
    generator = np.random.default_rng(7)
    for _ in range(count - 256):
        chosen = generator.integers(0, len(PIECES), generator.integers(2, 30))
        yield b"".join(PIECES[i] for i in chosen)


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_thousand_awkward_texts_come_back(token_model: Model, adaptive: bool) -> None:
    texts = list(awkward_texts(1000))
    symbols = [symbols_of(text, token_model) for text in texts]
    assert [token_model.tokens.join(s) for s in symbols] == texts  # type: ignore[union-attr]
    flat, method = np.concatenate(symbols), Method.MIXED if adaptive else Method.CODED
    policy = ContextPolicy.of(token_model.weights)

    def predictor(steps: int) -> Predictor:
        return new_predictor(token_model.weights, 50, steps, policy)

    lengths = lane_bytes(predictor(1), flat, 50)
    [coder] = encode_segment(flat, lengths, opened(predictor(64), 50, 64), [method])
    decoded = decode_segment(coder.payload(), lengths, opened(predictor(1), 50), method)
    assert decoded == b"".join(texts)


@pytest.mark.parametrize("raw", [b"\0" * 5000, b" " * 5000, b"\x13" * 5000, b"ab" * 2500])
def test_long_runs_come_back(token_model: Model, raw: bytes) -> None:
    frame = lmcompress.compress(raw, token_model, lanes=8)

    assert lmcompress.decompress(frame) == raw
    assert len(frame) < 400


def symbols_of(raw: bytes, model: Model) -> np.ndarray:
    assert model.tokens is not None
    return tokenizer_of(model.folder, model.tokens).encode(raw)


def methods(frame: bytes) -> list[Method]:
    return [segment.method for segment, _ in FrameReader(io.BytesIO(frame))]


def test_text_is_coded_and_what_is_none_is_stored(token_model: Model) -> None:
    frame = lmcompress.compress(TEXT * 3, token_model, adaptive=False)

    assert methods(frame) == [Method.CODED]
    assert len(frame) < len(TEXT * 3) / 2
    assert methods(lmcompress.compress(PNG, token_model)) == [Method.STORED]


def test_text_that_repeats_is_mixed_where_that_is_smaller(token_model: Model) -> None:
    lines = b"".join(b"node %d: link is down, retry %d\n" % (i % 7, i) for i in range(60))

    frame = lmcompress.compress(lines, token_model)

    assert methods(frame) == [Method.MIXED]
    assert lmcompress.decompress(frame) == lines
    assert len(frame) < len(lmcompress.compress(lines, token_model, adaptive=False)) / 2


@pytest.mark.parametrize(("num_broken", "is_text"), [(125, True), (126, False)])
def test_one_byte_in_eight_may_be_broken(
    token_model: Model, num_broken: int, is_text: bool
) -> None:
    raw = (TEXT * 8)[: 1000 - num_broken] + b"\xff" * num_broken

    [method] = methods(lmcompress.compress(raw, token_model))

    assert (method is Method.ADAPTIVE) == (not is_text)


def test_the_header_names_tokens(token_model: Model) -> None:
    header = FrameReader(io.BytesIO(lmcompress.compress(TEXT, token_model))).header

    assert (header.tokenizer, header.window, header.overlap) == ("tokens", 24, 6)
    assert header.fingerprint == token_model.fingerprint


def test_threads_and_devices_change_no_bit(token_model: Model) -> None:
    settings = [(t, d) for t in (1, 2) for d in ("cpu", "reference")]
    raw = INPUTS["invalid bytes in text"]

    frames = {
        lmcompress.compress(raw, token_model, CodecConfig(lanes=3, threads=threads, device=device))
        for threads, device in settings
    }

    assert len(frames) == 1
    for threads, device in settings:
        config = CodecConfig(threads=threads, device=device)
        assert lmcompress.decompress(next(iter(frames)), config=config) == raw


BOTH = (Method.CODED, Method.MIXED)


def payloads(predictor: Predictor, symbols: np.ndarray, lanes: int, block: int) -> list[bytes]:
    lengths = lane_bytes(predictor, symbols, lanes)
    coders = encode_segment(symbols, lengths, opened(predictor, lanes, block), BOTH)
    return [coder.payload() for coder in coders]


def lane_bytes(predictor: Predictor, symbols: np.ndarray, lanes: int) -> list[int]:
    assert isinstance(predictor, TokenPredictor)
    return LaneLayout(len(symbols), lanes).sums(predictor.table.lengths(symbols))


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_the_encoder_writes_the_same_bytes_for_any_block(token_model: Model, block: int) -> None:
    policy = ContextPolicy.of(token_model.weights)
    symbols = symbols_of(INPUTS["bytes without a token"], token_model)

    def encoded(block: int) -> list[bytes]:
        return payloads(new_predictor(token_model.weights, 3, 40, policy), symbols, 3, block)

    assert encoded(block) == encoded(5)


def test_logits_that_stay_on_the_device_give_the_same_bytes(token_model: Model) -> None:
    weights, policy = token_model.weights, ContextPolicy(24, 6)
    assert weights is not None
    symbols = symbols_of(TEXT, token_model)

    def predictor() -> DeviceTokenPredictor:
        engine = TorchEngine(weights, "cpu", max_steps=3)
        return DeviceTokenPredictor(weights, engine, policy, "cpu")

    found = payloads(predictor(), symbols, 3, 7)

    assert found == payloads(new_predictor(weights, 3, 7, policy), symbols, 3, 7)
    lengths = lane_bytes(predictor(), symbols, 3)
    for payload, method in zip(found, BOTH, strict=True):
        assert decode_segment(payload, lengths, opened(predictor(), 3), method) == TEXT


@pytest.mark.parametrize("damage", [None, 0, 3, 6])
def test_tokens_decode_alike_in_one_call_and_round_by_round(
    token_model: Model, monkeypatch: pytest.MonkeyPatch, damage: int | None
) -> None:
    weights, policy = token_model.weights, ContextPolicy(24, 6)
    symbols = symbols_of(TEXT, token_model)
    [_, payload] = payloads(new_predictor(weights, 3, 7, policy), symbols, 3, 7)
    lengths = lane_bytes(new_predictor(weights, 3, 7, policy), symbols, 3)
    if damage is not None:
        payload = payload[:damage] + bytes([payload[damage] ^ 64]) + payload[damage + 1 :]

    def decoded() -> bytes | str:
        args = lengths, opened(new_predictor(weights, 3, 1, policy), 3), Method.MIXED
        try:
            return decode_segment(payload, *args)
        except CorruptFrameError as exc:
            return str(exc)

    at_once = decoded()
    monkeypatch.setattr(segments, "_is_on_host", lambda _walk: False)

    assert decoded() == at_once
    assert (at_once == TEXT) == (damage is None)


def test_decoding_needs_no_tokenizer(
    token_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = lmcompress.compress(TEXT, token_model)
    bare = tmp_path / "bare"
    shutil.copytree(token_model.folder, bare)
    (bare / "tokenizer.json").unlink()
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    assert lmcompress.decompress(frame, bare) == TEXT
    with pytest.raises(ModelNotFoundError, match=r"has no tokenizer\.json"):
        lmcompress.compress(TEXT, bare)


def test_bytes_that_no_token_spells_cost_little_in_a_run(token_model: Model) -> None:
    table = token_model.tokens
    assert table is not None
    missing = np.random.default_rng(0).choice(np.frombuffer(MISSING, np.uint8), 4000)
    predictor = new_predictor(token_model.weights, 1, 64, ContextPolicy(24, 6))

    _, mixed = payloads(predictor, table.of_bytes(missing.tobytes()), 1, 64)

    assert len(mixed) < 4000 * np.log2(len(MISSING)) / 8 * 1.3  # 24 bits each before it learns


def test_segments_decode_alone(token_model: Model) -> None:
    frame = lmcompress.compress(TEXT * 3, token_model, CodecConfig(segment_bytes=100))
    sizes = [segment.raw_bytes for segment, _ in FrameReader(io.BytesIO(frame))]

    assert sizes == [100] * (len(TEXT * 3) // 100) + [len(TEXT * 3) % 100]
    assert lmcompress.decompress(frame) == TEXT * 3


def test_compact_frames_come_back(token_model: Model) -> None:
    config = CodecConfig(compact=True, lanes=2)

    frame = lmcompress.compress(TEXT, token_model, config)

    assert lmcompress.decompress(frame) == TEXT
    assert len(frame) < len(lmcompress.compress(TEXT, token_model, CodecConfig(lanes=2)))


def test_every_flipped_byte_and_every_truncation_is_found(token_model: Model) -> None:
    frame = lmcompress.compress(TEXT, token_model, CodecConfig(lanes=2))
    assert methods(frame) == [Method.CODED]

    assert_damage_is_found(frame)


def forged(
    model: Model,
    payload: bytes,
    raw: bytes,
    lanes: int = 1,
    method: Method = Method.CODED,
    **header: str | bytes,
) -> bytes:
    """Returns a frame whose checksums are right whatever its payload is."""
    sink = io.BytesIO()
    made = frame_header(model, ContextPolicy.of(model.weights))
    writer = FrameWriter(sink, dataclasses.replace(made, **header))  # type: ignore[arg-type]
    writer.write_coded(len(raw), lanes, payload, raw_checksum(raw), method)
    writer.finish()
    return sink.getvalue()


@pytest.mark.parametrize("method", BOTH)
def test_a_wrong_payload_with_right_checksums_gives_no_wrong_bytes(
    token_model: Model, method: Method
) -> None:
    generator = np.random.default_rng(3)

    for _ in range(60):
        payload = encode_varint(70) + generator.integers(0, 256, 40, np.uint8).tobytes()
        with pytest.raises(CorruptFrameError):
            lmcompress.decompress(forged(token_model, payload, TEXT, 2, method))


@pytest.mark.parametrize("length", [0, len(TEXT), 1 << 40])
def test_a_length_of_a_lane_that_cannot_be_is_refused(token_model: Model, length: int) -> None:
    payload = encode_varint(length) + bytes(64)

    with pytest.raises(CorruptFrameError, match="damaged"):
        lmcompress.decompress(forged(token_model, payload, TEXT, lanes=2))


def test_a_file_of_bytes_is_none_of_a_model_of_tokens(token_model: Model) -> None:
    frame = forged(token_model, bytes(64), TEXT, tokenizer="bytes")

    with pytest.raises(CorruptFrameError, match="symbols are bytes, those of model tiny-tokens"):
        lmcompress.decompress(frame)


def test_a_changed_table_is_another_model(token_model: Model) -> None:
    assert token_model.weights is not None
    table = token_model.weights.tokens
    assert table is not None
    swapped = dataclasses.replace(table, tokens=table.tokens[::-1])
    weights = dataclasses.replace(token_model.weights, tokens=swapped)
    other = Model(token_model.name, weights, {}, token_model.folder)
    frame = lmcompress.compress(TEXT, token_model)

    with pytest.raises(FingerprintMismatchError):
        lmcompress.decompress(frame, other)
    with pytest.raises(UnsupportedModelError, match="import it again"):
        lmcompress.compress(TEXT, other)


LINE = "node %d: connection to controller lost, retry in %d seconds\n"
PROMPT = Prompt("".join(LINE % (i, 2 * i) for i in range(80)).encode() + MISSING + b"\xe4", "log")
SMALL = (LINE % (81, 3)).encode()


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("lanes", [1, 3])
def test_a_prompt_makes_a_small_file_smaller(token_model: Model, lanes: int, compact: bool) -> None:
    config = CodecConfig(lanes=lanes, compact=compact)
    with_prompt = dataclasses.replace(config, prompt=PROMPT)

    frame = lmcompress.compress(SMALL, token_model, with_prompt)

    assert lmcompress.decompress(frame, config=with_prompt) == SMALL
    header = 0 if compact else 32 + len(PROMPT.name) + 2
    assert len(frame) < len(lmcompress.compress(SMALL, token_model, config)) + header - 5


def test_a_prompt_needs_no_tokenizer_to_decode(
    token_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = lmcompress.compress(SMALL, token_model, prompt=PROMPT)
    bare = tmp_path / "bare"
    shutil.copytree(token_model.folder, bare)
    (bare / "tokenizer.json").unlink()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.setattr("lmcompress.codec.prompt._last", None)

    assert lmcompress.decompress(frame, bare, prompt=PROMPT) == SMALL
    with pytest.raises(PromptNotFoundError):
        lmcompress.decompress(frame, bare)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("raw", [TEXT * 3, TEXT * 3 + MISSING], ids=["text", "missing"])
def test_a_score_is_near_the_size_of_the_file(
    token_model: Model, raw: bytes, adaptive: bool
) -> None:
    config = CodecConfig(lanes=2)

    score = lmcompress.score(raw, token_model, config, adaptive=adaptive)

    frame = lmcompress.compress(raw, token_model, config, adaptive=adaptive)
    payload_bits = 8 * next(s.payload_bytes for s, _ in FrameReader(io.BytesIO(frame)))
    assert abs(payload_bits - score.quantized_code_length_bits) < 64
    if not adaptive:
        quantized = score.quantized_code_length_bits
        assert score.ideal_code_length_bits == pytest.approx(quantized, rel=0.01)


def test_a_table_that_is_missing_is_an_error(token_model: Model, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(token_model.folder, bare)
    (bare / "tokens.safetensors").unlink()

    with pytest.raises(FingerprintMismatchError):
        load_model(bare)
