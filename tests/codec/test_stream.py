"""Round trips, layout, damage and the context policy, on a tiny random model."""

from __future__ import annotations

import dataclasses
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

import lmcompress
from lmcompress import CodecConfig
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.predictor import ContextPolicy, GPTPredictor, UniformPredictor, new_predictor
from lmcompress.codec.session import Session
from lmcompress.codec.stream import FrameCompressor, compress_stream, decompress_stream
from lmcompress.errors import (
    CorruptFrameError,
    FingerprintMismatchError,
    LmcompressError,
    ModelNotFoundError,
    TruncatedFrameError,
    UnsupportedVersionError,
)
from lmcompress.format.frame import Method
from lmcompress.format.full import FrameReader
from lmcompress.models.store import DEFAULT_MODEL, Model
from tests.support.coding import decoded, encoded

TEXT = b"It was the best of times,\r\nit was the worst of times. " * 9


@pytest.mark.parametrize("raw_bytes", [1, 2, 7, 64, 65, 1000])
@pytest.mark.parametrize("lanes", [1, 2, 7])
def test_lanes_cut_and_join_without_loss(raw_bytes: int, lanes: int) -> None:
    raw = bytes(i % 251 for i in range(raw_bytes))
    layout = LaneLayout(raw_bytes, min(lanes, raw_bytes))

    symbols = layout.split(np.frombuffer(raw, np.uint8))

    assert symbols.shape == (layout.lanes, layout.steps)
    assert layout.join(symbols).tobytes() == raw
    assert symbols[0].tobytes() == raw[: layout.steps]


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_uniform_predictor_costs_8_bits_a_byte(lanes: int) -> None:
    raw = bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8))

    [payload] = encoded(raw, UniformPredictor(), lanes, 10)

    assert abs(len(payload) - len(raw)) <= 8
    assert decoded(payload, len(raw), UniformPredictor(), lanes) == raw


@pytest.mark.parametrize(("device", "most"), [("cpu", 16), ("cuda", 256)])
def test_automatic_lanes_have_8_kib_and_are_more_on_a_gpu(
    device: str, most: int, tiny_model: Model, token_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmcompress.codec.session.resolve_device", lambda _: device)
    of_bytes, of_tokens = Session(tiny_model), Session(token_model)

    assert [of_bytes.lanes_for(kib << 10) for kib in (1, 8, 100, 16 << 10)] == [1, 1, 12, most]
    assert [of_tokens.lanes_for(n << 10) for n in (1, 2, 25, 4 << 10)] == [1, 1, 12, most]
    assert Session(tiny_model, CodecConfig(lanes=3)).lanes_for(1 << 20) == 3


@pytest.mark.parametrize("adaptive", [False, True], ids=["direct", "adaptive"])
@pytest.mark.parametrize("lanes", ["auto", 1, 3, 64])
def test_awkward_inputs_come_back(
    tiny_model: Model, awkward_input: bytes, lanes: object, adaptive: bool
) -> None:
    config = CodecConfig(lanes=lanes, adaptive=adaptive)  # type: ignore[arg-type]
    raw = awkward_input[:3000]

    frame = lmcompress.compress(raw, tiny_model, config)

    assert lmcompress.decompress(frame) == raw
    assert len(frame) <= len(raw) + 100


def test_threads_and_blocks_change_no_bit(tiny_model: Model) -> None:
    frames = {
        lmcompress.compress(TEXT, tiny_model, CodecConfig(lanes=4, threads=threads, device=device))
        for threads in (1, 2)
        for device in ("cpu", "reference")
    }

    assert len(frames) == 1
    for threads in (1, 2):
        for device in ("cpu", "reference"):
            config = CodecConfig(threads=threads, device=device)
            assert lmcompress.decompress(next(iter(frames)), config=config) == TEXT


@pytest.mark.parametrize("block", [1, 2, 5, 1000])
def test_the_encoder_writes_the_same_bytes_for_any_block(tiny_model: Model, block: int) -> None:
    policy = ContextPolicy.of(tiny_model.weights)
    methods = [Method.CODED, Method.MIXED]
    predictor = new_predictor(tiny_model.weights, 3, 40, policy)
    expected = encoded(TEXT, predictor, 3, 40, methods)

    predictor = new_predictor(tiny_model.weights, 3, block, policy)

    assert encoded(TEXT, predictor, 3, block, methods) == expected


def test_segments_decode_alone(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT, tiny_model, CodecConfig(segment_bytes=100))
    reader = FrameReader(io.BytesIO(frame))

    segments = [segment for segment, _ in reader]

    assert all(segment.method is not Method.STORED for segment in segments)
    assert [s.raw_bytes for s in segments] == [100, 100, 100, 100, len(TEXT) - 400]
    assert lmcompress.decompress(frame) == TEXT


def test_frames_may_be_joined(tiny_model: Model) -> None:
    frames = [lmcompress.compress(part, tiny_model) for part in (TEXT, b"", b"end")]

    assert lmcompress.decompress(b"".join(frames)) == TEXT + b"end"


def test_incompressible_bytes_are_stored(tiny_model: Model) -> None:
    raw = bytes(np.random.default_rng(0).integers(0, 256, 2000, np.uint8))

    frame = lmcompress.compress(raw, tiny_model)

    [(segment, _)] = list(FrameReader(io.BytesIO(frame)))
    assert segment.method is Method.STORED
    assert len(frame) - len(raw) < 100


def test_sources_that_give_a_few_bytes_at_a_time_work(tiny_model: Model) -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size, 3) if size and size > 0 else 3)

    sink, out = io.BytesIO(), io.BytesIO()
    compress_stream(Trickle(TEXT), sink, tiny_model, CodecConfig(segment_bytes=128))
    decompress_stream(Trickle(sink.getvalue()), out)

    assert out.getvalue() == TEXT


class Slow(io.RawIOBase):
    """Takes three bytes at a time; a source that has none yet gives None."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)[:3]  # type: ignore[call-overload]
        self.taken += piece
        return len(piece)

    def read(self, _size: int = -1) -> None:
        return None


def test_outputs_that_take_a_few_bytes_at_a_time_lose_none(tiny_model: Model) -> None:
    sink = Slow()

    decompress_stream(io.BytesIO(lmcompress.compress(TEXT, tiny_model)), sink)  # type: ignore[arg-type]

    assert sink.taken == TEXT


def test_an_input_without_bytes_yet_has_not_ended(tiny_model: Model) -> None:
    with pytest.raises(BlockingIOError, match="no bytes yet"):
        compress_stream(Slow(), io.BytesIO(), tiny_model, CodecConfig())  # type: ignore[arg-type]


def test_every_flipped_byte_and_every_truncation_is_found(tiny_model: Model) -> None:
    frame = lmcompress.compress(TEXT[:160], tiny_model, CodecConfig(segment_bytes=90, lanes=2))

    for position in range(len(frame)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(frame)
            damaged[position] ^= flip
            with pytest.raises(LmcompressError):
                lmcompress.decompress(bytes(damaged))
    for length in range(len(frame)):
        with pytest.raises(TruncatedFrameError):
            lmcompress.decompress(frame[:length])


def test_a_wrong_payload_with_right_checksum_gives_no_wrong_bytes(tiny_model: Model) -> None:
    from lmcompress.codec.requirements import frame_header
    from lmcompress.format.frame import raw_checksum
    from lmcompress.format.full import FrameWriter

    rng = np.random.default_rng(0)
    for _ in range(20):
        sink = io.BytesIO()
        writer = FrameWriter(sink, frame_header(tiny_model, ContextPolicy()))
        payload = bytes(rng.integers(0, 256, 4 * int(rng.integers(0, 9)), np.uint8))
        writer.write_coded(len(TEXT), 3, payload, raw_checksum(TEXT))
        writer.finish()
        with pytest.raises(CorruptFrameError):
            lmcompress.decompress(sink.getvalue())


def test_another_model_of_the_same_name_is_refused(tiny_model: Model, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from lmcompress.models.checkpoint import save_exact_checkpoint
    from tests.support.exactness import random_weights

    save_exact_checkpoint(random_weights("paper"), {"name": "other"}, tmp_path / "other")
    frame = lmcompress.compress(TEXT, tiny_model)

    with pytest.raises(FingerprintMismatchError, match="pass the model that made it"):
        lmcompress.decompress(frame, model=str(tmp_path / "other"))
    with pytest.raises(ModelNotFoundError, match="known are"):
        lmcompress.decompress(frame, model="no-such-model")


def test_a_loaded_model_is_taken_where_its_name_finds_none(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = dataclasses.replace(tiny_model, name="elsewhere"), tmp_path / "text.lmc"
    path.write_bytes(lmcompress.compress(TEXT, model))

    assert lmcompress.decompress(path.read_bytes(), model=model) == TEXT
    with lmcompress.open(path, "rb", model) as file:
        assert file.read() == TEXT
    assert lmcompress.decompress(path.read_bytes()) == TEXT  # by its fingerprint
    monkeypatch.delenv("LMCOMPRESS_MODELS")
    with pytest.raises(ModelNotFoundError, match="elsewhere"):
        lmcompress.decompress(path.read_bytes())


def test_a_name_in_a_header_is_no_path(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = dataclasses.replace(tiny_model, name=str(tiny_model.folder))
    frame = lmcompress.compress(TEXT, forged)
    monkeypatch.delenv("LMCOMPRESS_MODELS")

    with pytest.raises(ModelNotFoundError):
        lmcompress.decompress(frame)


def test_a_model_whose_name_another_has_is_found_by_its_fingerprint(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model.folder, tmp_path / DEFAULT_MODEL)
    frame = lmcompress.compress(TEXT, dataclasses.replace(tiny_model, name=DEFAULT_MODEL))
    monkeypatch.setenv("LMCOMPRESS_MODELS", str(tmp_path))

    assert lmcompress.decompress(frame) == TEXT


def test_a_model_without_a_symbol_for_each_byte_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from lmcompress.gpt.config import GPTConfig
    from lmcompress.gpt.network import GPT
    from lmcompress.gpt.quantization import quantize_network

    network = GPT(GPTConfig(vocab_size=128, n_layer=1, n_embd=32, n_head=1, context_length=16))
    model = Model("ascii", quantize_network(network), {}, tmp_path)

    with pytest.raises(ValueError, match="vocab_size is 128, expected 256"):
        lmcompress.compress("na\u00efve".encode(), model)


@pytest.mark.parametrize("window", [0, 49])
def test_a_window_that_the_model_does_not_have_is_refused(window: int, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from lmcompress.codec.requirements import frame_header
    from lmcompress.format.frame import raw_checksum
    from lmcompress.format.full import FrameWriter
    from tests.support.exactness import random_weights

    model, sink = Model("gpt-2", random_weights("gpt-2"), {}, tmp_path), io.BytesIO()
    writer = FrameWriter(sink, frame_header(model, ContextPolicy(window)))
    writer.write_coded(len(TEXT), 1, bytes(64), raw_checksum(TEXT))
    writer.finish()

    with pytest.raises(CorruptFrameError, match="context is 48"):
        lmcompress.decompress(sink.getvalue(), model=model)


def test_a_newer_arithmetic_is_refused(tiny_model: Model) -> None:
    import dataclasses

    from lmcompress.codec.requirements import frame_header
    from lmcompress.format.frame import raw_checksum
    from lmcompress.format.full import FrameWriter

    header = dataclasses.replace(frame_header(tiny_model, ContextPolicy()), arithmetic_version=99)
    sink = io.BytesIO()
    writer = FrameWriter(sink, header)
    writer.write_coded(3, 1, b"1234", raw_checksum(b"abc"))
    writer.finish()

    with pytest.raises(UnsupportedVersionError, match="99"):
        lmcompress.decompress(sink.getvalue())


@pytest.mark.parametrize("name", ["gpt-2", "gpt-1", "llama", "gpt-3"])
def test_texts_longer_than_the_context_come_back(name: str) -> None:
    from tests.support.exactness import random_weights

    weights = random_weights(name)  # context 48
    policy = ContextPolicy.of(weights)
    assert policy == ContextPolicy(48, 12)

    [payload] = encoded(TEXT, new_predictor(weights, 2, 30, policy), 2, 30)

    assert decoded(payload, len(TEXT), new_predictor(weights, 2, 12, policy), 2) == TEXT


@pytest.mark.parametrize("engine_of", ["reference", "kernels"])
@pytest.mark.parametrize("name", ["gpt-2", "ngrams"])
def test_a_window_starts_from_its_overlap(name: str, engine_of: str) -> None:
    from lmcompress.gpt.cpu.engine import CpuEngine, CpuModel
    from lmcompress.gpt.reference_engine import TorchEngine
    from tests.support.exactness import random_tokens, random_weights

    weights = random_weights(name)
    tokens = random_tokens(2, 60)
    fast = CpuEngine(CpuModel(weights), 2, 10, 1)
    engine = TorchEngine(weights, "cpu") if engine_of == "reference" else fast
    predictor = GPTPredictor(weights, engine, ContextPolicy(48, 12))

    found = predictor.predict(tokens)

    fresh = TorchEngine(weights, "cpu")
    expected = fresh.predict(tokens[:, 36:])[12:]
    assert np.array_equal(found[48:], expected)


@pytest.mark.parametrize(
    "values",
    [
        {"lanes": 0}, {"lanes": 5000}, {"lanes": "8"}, {"lanes": 2.5}, {"lanes": None},
        {"segment_bytes": 0}, {"segment_bytes": 1 << 31}, {"segment_bytes": "64K"},
        {"threads": 0}, {"threads": "2"},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_refused(values: dict) -> None:
    [(name, value)] = values.items()

    with pytest.raises(ValueError, match=f"{name} is {value!r}, expected"):
        CodecConfig(**values)


def test_files_open_like_gzip_files(tiny_model: Model, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "text.lmc"
    with lmcompress.open(path, "wt", tiny_model, encoding="utf-8") as file:
        file.write("naïve\nlines\n")

    with lmcompress.open(path, "rt", encoding="utf-8") as file:
        assert file.readlines() == ["naïve\n", "lines\n"]
    with pytest.raises(FileExistsError):
        lmcompress.open(path, "xb", tiny_model)
    with pytest.raises(ValueError, match="mode"):
        lmcompress.open(path, "a")  # type: ignore[arg-type]


def test_after_any_error_a_file_has_not_ended(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.lmc"
    path.write_bytes(lmcompress.compress(TEXT, tiny_model))

    def decode(*_args: object, **_options: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("lmcompress.codec.stream.decode_segment", decode)
    with lmcompress.open(path) as file:
        for _ in range(2):
            with pytest.raises(MemoryError):
                file.read(1)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_after_a_failed_write_a_file_is_cut_short_not_doubled(
    error: type[BaseException], tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, raw = tmp_path / "text.lmc", TEXT * 30
    write = FrameCompressor.write_segment
    calls: list[bytes] = []

    def fail_once(self: FrameCompressor, piece: bytes) -> None:
        calls.append(piece)
        if len(calls) == 1:
            raise error
        write(self, piece)

    monkeypatch.setattr(FrameCompressor, "write_segment", fail_once)
    config = CodecConfig(segment_bytes=8000)

    def write_all() -> None:
        with lmcompress.open(path, "wb", tiny_model, config) as file:
            for start in range(0, len(raw), 3000):
                file.write(raw[start : start + 3000])

    with pytest.raises(error):
        write_all()

    assert len(calls) == 1
    with pytest.raises(LmcompressError):
        lmcompress.decompress(path.read_bytes())


def test_a_file_that_cannot_be_made_empties_none(tmp_path: Path) -> None:
    path = tmp_path / "old.lmc"
    path.write_bytes(b"old")

    with pytest.raises(ValueError, match="nothing would predict"):
        lmcompress.open(path, "wb", "none", CodecConfig(adaptive=False))
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("text", [{"encoding": "utf-typo"}, {"newline": "bad"}], ids=str)
def test_text_settings_that_are_wrong_empty_no_file(text: dict, tmp_path: Path) -> None:
    path = tmp_path / "precious.lmc"
    path.write_bytes(b"precious")

    with pytest.raises((LookupError, ValueError)):
        lmcompress.open(path, "wt", "none", **text)

    assert path.read_bytes() == b"precious"


def test_score_is_just_below_what_compression_gives(tiny_model: Model) -> None:
    config = CodecConfig(lanes=3)
    score = lmcompress.score(TEXT, tiny_model, config)
    reader = FrameReader(io.BytesIO(lmcompress.compress(TEXT, tiny_model, config)))
    [(segment, _)] = list(reader)

    overhead = 8 * segment.payload_bytes - score.quantized_code_length_bits
    assert 0 <= overhead <= 64


def test_without_the_adaptive_stage_scores_are_the_models_own(tiny_model: Model) -> None:
    score = lmcompress.score(TEXT, tiny_model, CodecConfig(lanes=3, adaptive=False))

    assert abs(score.ideal_bits_per_byte - score.quantized_bits_per_byte) < 1e-3


def test_a_file_written_in_pieces_equals_one_compressed_at_once(  # type: ignore[no-untyped-def]
    tiny_model: Model, tmp_path
) -> None:
    config = CodecConfig(segment_bytes=100)
    with lmcompress.open(tmp_path / "text.lmc", "wb", tiny_model, config) as file:
        for start in range(0, len(TEXT), 37):
            file.write(TEXT[start : start + 37])  # type: ignore[arg-type]

    expected = lmcompress.compress(TEXT, tiny_model, config)
    assert (tmp_path / "text.lmc").read_bytes() == expected
