"""Files of a model of tokens: any bytes come back, and decoding needs no tokenizer."""

from __future__ import annotations

import dataclasses
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig, Prompt
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.predictor import ContextPolicy, DeviceTokenPredictor, new_token_predictor
from lmcompress.codec.requirements import compact_header, frame_header
from lmcompress.codec.stream import FrameCompressor
from lmcompress.codec.token_segments import decode_tokens, encode_tokens, token_blocks
from lmcompress.errors import (
    CorruptFrameError,
    FingerprintMismatchError,
    LmcompressError,
    ModelNotFoundError,
    TruncatedFrameError,
    UnsupportedModelError,
)
from lmcompress.format.compact import CompactSegment, pack_compact
from lmcompress.format.frame import Method, raw_checksum
from lmcompress.format.full import FrameReader, FrameWriter
from lmcompress.format.wire import encode_varint
from lmcompress.gpt.cuda.group_softmax import DeviceGroups
from lmcompress.gpt.reference_engine import TorchEngine
from lmcompress.models.store import Model, load_model
from lmcompress.tokenizer.bpe import tokenizer_of

pytest.importorskip("tokenizers")

from tests.support.coding import opened
from tests.support.command_line import Run, assert_one_line_error, names
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


def symbols_of(raw: bytes, model: Model) -> np.ndarray:
    assert model.tokens is not None
    return tokenizer_of(model.folder, model.tokens).encode(raw)


def methods(frame: bytes) -> list[Method]:
    return [segment.method for segment, _ in FrameReader(io.BytesIO(frame))]


def test_text_is_coded_and_other_data_is_stored(token_model: Model) -> None:
    frame = lmcompress.compress(TEXT * 3, token_model)

    assert methods(frame) == [Method.CODED]
    assert len(frame) < len(TEXT * 3) / 2
    assert methods(lmcompress.compress(PNG, token_model)) == [Method.STORED]


@pytest.mark.parametrize(("num_escaped", "method"), [(125, Method.CODED), (126, Method.STORED)])
def test_one_byte_in_eight_may_be_escaped(
    token_model: Model, num_escaped: int, method: Method
) -> None:
    raw = (TEXT * 8)[: 1000 - num_escaped] + b"\xff" * num_escaped

    assert methods(lmcompress.compress(raw, token_model)) == [method]


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


@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_the_encoder_writes_the_same_bytes_for_any_block(token_model: Model, block: int) -> None:
    assert token_model.weights is not None
    policy = ContextPolicy.of(token_model.weights)
    symbols = symbols_of(INPUTS["bytes without a token"], token_model)

    def encoded(block: int) -> bytes:
        predictor = new_token_predictor(token_model.weights, 3, 40, policy)  # type: ignore[arg-type]
        return encode_tokens(symbols, opened(predictor, 3, block))

    assert encoded(block) == encoded(5)


def test_logits_that_stay_on_the_device_give_the_same_bytes(token_model: Model) -> None:
    weights, policy = token_model.weights, ContextPolicy(24, 6)
    assert weights is not None
    assert weights.tokens is not None
    spelled, symbols = weights.tokens.is_spelled, symbols_of(TEXT, token_model)

    def predictor() -> DeviceTokenPredictor:
        engine = TorchEngine(weights, "cpu", max_steps=3)
        return DeviceTokenPredictor(weights, engine, policy, DeviceGroups(spelled, "cpu"))

    payload = encode_tokens(symbols, opened(predictor(), 3, 7))

    on_host = new_token_predictor(weights, 3, 7, policy)
    assert payload == encode_tokens(symbols, opened(on_host, 3, 7))
    assert decode_tokens(payload, len(TEXT), opened(predictor(), 3)) == TEXT


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


def test_lanes_are_cut_from_the_tokens_of_the_whole_text(token_model: Model) -> None:
    assert token_model.weights is not None
    symbols = symbols_of(TEXT, token_model)
    predictor = new_token_predictor(token_model.weights, 2, 1, ContextPolicy(24, 6))

    steps = [step for _, block in token_blocks(symbols, 2, 5, predictor) for step in block]

    joined = np.zeros((2, len(steps)), np.int32)
    for i, step in enumerate(steps):
        joined[: len(step), i] = step
    assert np.array_equal(LaneLayout(len(symbols), 2).join(joined), symbols)


def test_an_escape_in_a_run_costs_little_more_than_its_byte(token_model: Model) -> None:
    assert token_model.weights is not None
    table = token_model.weights.tokens
    assert table is not None
    noise = np.random.default_rng(0).integers(0, 256, 4000, np.uint8).tobytes()
    predictor = new_token_predictor(token_model.weights, 1, 64, ContextPolicy(24, 6))

    payload = encode_tokens(table.escaped(noise), opened(predictor, 1, 64))

    assert len(payload) < len(noise) + 16


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

    for position in range(len(frame)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(frame)
            damaged[position] ^= flip
            with pytest.raises(LmcompressError):
                lmcompress.decompress(bytes(damaged))
    for length in range(len(frame)):
        with pytest.raises(TruncatedFrameError):
            lmcompress.decompress(frame[:length])


def forged(
    model: Model, payload: bytes, raw: bytes, lanes: int = 1, **header: str | bytes
) -> bytes:
    """Returns a frame whose checksums are right whatever its payload is."""
    sink = io.BytesIO()
    made = frame_header(model, ContextPolicy.of(model.weights))
    writer = FrameWriter(sink, dataclasses.replace(made, **header))  # type: ignore[arg-type]
    writer.write_coded(len(raw), lanes, payload, raw_checksum(raw))
    writer.finish()
    return sink.getvalue()


def test_a_wrong_payload_with_right_checksums_gives_no_wrong_bytes(token_model: Model) -> None:
    generator = np.random.default_rng(3)

    for _ in range(60):
        payload = encode_varint(20) + generator.integers(0, 256, 40, np.uint8).tobytes()
        with pytest.raises(CorruptFrameError):
            lmcompress.decompress(forged(token_model, payload, TEXT))


@pytest.mark.parametrize("count", [0, 1, len(TEXT) + 1, 1 << 40])
def test_an_impossible_number_of_tokens_is_refused(token_model: Model, count: int) -> None:
    payload = encode_varint(count) + bytes(64)

    with pytest.raises(CorruptFrameError, match="damaged"):
        lmcompress.decompress(forged(token_model, payload, TEXT, lanes=2))


def test_a_frame_of_bytes_is_refused_for_a_model_of_tokens(token_model: Model) -> None:
    frame = forged(token_model, bytes(64), TEXT, tokenizer="bytes")

    with pytest.raises(CorruptFrameError, match="symbols are bytes, those of model tiny-tokens"):
        lmcompress.decompress(frame)


def test_an_empty_payload_is_corrupt(token_model: Model) -> None:
    assert token_model.weights is not None
    predictor = new_token_predictor(token_model.weights, 1, 1, ContextPolicy(24, 6))

    with pytest.raises(CorruptFrameError):
        decode_tokens(b"", 10, opened(predictor, 1))


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


def test_a_prompt_is_refused_before_anything_is_written(token_model: Model, tmp_path: Path) -> None:
    prompt, path, sink = Prompt(TEXT), tmp_path / "kept.lmc", io.BytesIO()
    path.write_bytes(b"kept")

    with pytest.raises(LmcompressError, match="takes no prompt"):
        lmcompress.compress(TEXT, token_model, prompt=prompt)
    with pytest.raises(LmcompressError, match="takes no prompt"):
        lmcompress.score(TEXT, token_model, prompt=prompt)
    with pytest.raises(LmcompressError, match="takes no prompt"):
        lmcompress.open(path, "wb", token_model, prompt=prompt)
    with pytest.raises(LmcompressError, match="takes no prompt"):
        FrameCompressor(sink, token_model, CodecConfig(prompt=prompt))

    assert path.read_bytes() == b"kept"
    assert sink.getvalue() == b""


@pytest.mark.parametrize("command", ["compress", "score"])
def test_the_command_line_refuses_a_prompt_before_anything_is_written(
    run: Run, token_model: Model, text_file: Path, command: str
) -> None:
    result = run(command, text_file, "-m", token_model.folder, "--prompt", text_file)

    assert_one_line_error(result, "takes no prompt")
    assert names(text_file.parent) == [text_file.name]


@pytest.mark.parametrize("kind", ["full", "compact"])
@pytest.mark.parametrize("prompt", [None, Prompt(TEXT), Prompt(b"another")])
def test_a_frame_of_tokens_that_asks_for_a_prompt_is_corrupt(
    token_model: Model, kind: str, prompt: Prompt | None
) -> None:
    if kind == "full":
        frame = forged(
            token_model, bytes(64), TEXT, prompt_sha256=Prompt(TEXT).sha256, prompt_name="text"
        )
    else:
        segment = CompactSegment(Method.CODED, len(TEXT), 1, 64, bytes(4))
        frame = pack_compact(compact_header(token_model, Prompt(TEXT)), segment, bytes(64))

    with pytest.raises(CorruptFrameError, match=r"reads tokens and takes none: .* damaged"):
        lmcompress.decompress(frame, prompt=prompt)


@pytest.mark.parametrize("raw", [TEXT * 3, TEXT * 3 + MISSING], ids=["text", "escapes"])
def test_a_score_is_near_the_size_of_the_file(token_model: Model, raw: bytes) -> None:
    config = CodecConfig(lanes=2)

    score = lmcompress.score(raw, token_model, config)

    frame = lmcompress.compress(raw, token_model, config)
    payload_bits = 8 * next(s.payload_bytes for s, _ in FrameReader(io.BytesIO(frame)))
    assert abs(payload_bits - score.quantized_code_length_bits) < 64
    assert score.ideal_code_length_bits == pytest.approx(score.quantized_code_length_bits, rel=0.01)


def test_a_table_that_is_missing_is_an_error(token_model: Model, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(token_model.folder, bare)
    (bare / "tokens.safetensors").unlink()

    with pytest.raises(FingerprintMismatchError):
        load_model(bare)
