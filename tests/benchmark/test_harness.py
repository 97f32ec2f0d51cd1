"""A row is measured, compared with the original, and complete."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib

import pytest

import lmcompress
from lmcompress.benchmark import classical, harness
from lmcompress.benchmark.harness import (
    ModelCodec,
    benchmark_row,
    classical_codecs,
    measure,
    record_key,
    run_benchmark,
    scored_row,
)
from lmcompress.benchmark.provenance import describe_run
from lmcompress.codec import scoring
from lmcompress.codec.config import CodecConfig
from lmcompress.errors import LmcompressError, MissingDependencyError, ModelNotFoundError

TEXT = b"It was the best of times, it was the worst of times; the age of foolishness.\n" * 8
ONE_THREAD = CodecConfig(threads=1)


@dataclasses.dataclass
class Deflate:
    """zlib with a fault that tests can ask for: bytes to add to what it decompresses."""

    fault: bytes = b""
    name: str = "deflate-test"
    version: str = "7"
    model_bytes: int = 0
    num_parameters: int = 0
    fingerprint: str = ""

    def compress(self, raw: bytes) -> bytes:
        return zlib.compress(raw)

    def decompress(self, compressed: bytes) -> bytes:
        return zlib.decompress(compressed) + self.fault


@dataclasses.dataclass
class ScriptedClock:
    """Stands for the module `time`; the codec that is timed moves it on."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _short_loops(monkeypatch):
    monkeypatch.setattr(harness, "MIN_LOOP_SECONDS", 0.001)


def test_row_has_size_rates_and_times():
    record = benchmark_row(Deflate(), "a.txt", TEXT, describe_run("test"))

    size = len(zlib.compress(TEXT))
    assert (record.codec, record.codec_version, record.corpus) == ("deflate-test", "7", "a.txt")
    assert record.corpus_sha256 == hashlib.sha256(TEXT).hexdigest()
    assert (record.raw_bytes, record.compressed_bytes) == (len(TEXT), size)
    assert record.bits_per_byte == pytest.approx(8 * size / len(TEXT))
    assert record.raw_compression_rate == record.adjusted_compression_rate
    assert record.payload_bytes is record.lanes is record.ideal_code_length_bits is None
    assert record.compress_seconds > 0
    assert record.decompress_seconds > 0
    assert record.round_trip_ok


def test_codec_that_returns_wrong_bytes_is_named_with_the_file():
    with pytest.raises(LmcompressError, match=r"deflate-test \(7\) on a\.txt: gave back"):
        benchmark_row(Deflate(fault=b"!"), "a.txt", TEXT, describe_run("test"))


def test_codec_that_is_wrong_only_past_the_warm_up_is_found():
    @dataclasses.dataclass
    class WrongOnLong(Deflate):
        def decompress(self, compressed: bytes) -> bytes:
            raw = super().decompress(compressed)
            return raw[:-1] + b"?" if len(raw) > harness.WARM_UP_BYTES else raw

    with pytest.raises(LmcompressError, match=r"deflate-test \(7\) on long"):
        measure(WrongOnLong(), "long", bytes(harness.WARM_UP_BYTES + 1))


def test_codec_that_is_wrong_in_a_later_loop_is_found():
    @dataclasses.dataclass
    class WrongLater(Deflate):
        calls: int = 0

        def decompress(self, compressed: bytes) -> bytes:
            self.calls += 1
            return super().decompress(compressed) + (b"!" if self.calls > 2 else b"")

    with pytest.raises(LmcompressError, match="deflate-test"):
        measure(WrongLater(), "a.txt", TEXT)


def test_exception_of_a_codec_is_named_with_the_file():
    class Broken(Deflate):
        def decompress(self, compressed: bytes) -> bytes:
            return zlib.decompress(compressed[1:])

    with pytest.raises(LmcompressError, match=r"deflate-test \(7\) on a\.txt: Error -3"):
        measure(Broken(), "a.txt", TEXT)


def test_slow_call_is_made_once_after_the_warm_up(monkeypatch):
    calls = []

    class Counting(Deflate):
        def compress(self, raw: bytes) -> bytes:
            calls.append(len(raw))
            return super().compress(raw)

    monkeypatch.setattr(harness, "MIN_LOOP_SECONDS", 1e-9)
    measure(Counting(), "long", bytes(5000))

    assert calls == [harness.WARM_UP_BYTES, 5000]


def test_the_best_of_the_repeated_calls_is_the_time(monkeypatch):
    clock = ScriptedClock()
    monkeypatch.setattr(harness, "time", clock)
    monkeypatch.setattr(harness, "MIN_LOOP_SECONDS", 4)

    class Timed(Deflate):
        def compress(self, raw: bytes) -> bytes:
            clock.now += next(compress_seconds)
            return super().compress(raw)

        def decompress(self, compressed: bytes) -> bytes:
            clock.now += next(decompress_seconds)
            return super().decompress(compressed)

    # The first of each is the warm-up; the rest are calls until they come to 4 seconds.
    compress_seconds, decompress_seconds = iter([0.25, 1.5, 0.5, 2.5]), iter([0.125, 3, 1])
    measured = measure(Timed(), "a.txt", TEXT)

    assert (measured.compress_seconds, measured.decompress_seconds) == (0.5, 1)
    assert not [*compress_seconds, *decompress_seconds]


def test_model_row_carries_model_lanes_and_payload(tiny_model):
    codec = ModelCodec(tiny_model, CodecConfig(lanes=2, threads=1))

    record = benchmark_row(codec, "a.txt", TEXT, describe_run("test"))

    frame = lmcompress.compress(TEXT, tiny_model, CodecConfig(lanes=2, threads=1))
    scored = scoring.score(TEXT, tiny_model, CodecConfig(lanes=2, threads=1))
    assert record.codec == "tiny (2 lanes)"
    assert record.compressed_bytes == len(frame) < len(TEXT)
    assert record.fingerprint == tiny_model.fingerprint.hex()
    assert record.num_parameters == tiny_model.num_parameters
    assert record.half_precision_model_bytes == 2 * tiny_model.num_parameters
    assert (record.lanes, record.num_threads) == (2, 1)
    assert record.model_bytes > 0
    assert record.adjusted_compression_rate == pytest.approx(
        (len(frame) + tiny_model.model_bytes) / len(TEXT)
    )
    assert scored.quantized_code_length_bits <= 8 * record.payload_bytes < 8 * len(frame)


def test_a_row_is_of_a_file_or_of_a_score(tiny_model):
    codec, run = ModelCodec(tiny_model, ONE_THREAD), describe_run("test")
    scored = scoring.score(TEXT, tiny_model, ONE_THREAD)

    file, score = (row(codec, "a", TEXT, run) for row in (benchmark_row, scored_row))

    assert file.ideal_code_length_bits is file.quantized_code_length_bits is None
    assert score.ideal_code_length_bits == scored.ideal_code_length_bits
    assert score.quantized_code_length_bits == scored.quantized_code_length_bits
    assert score.compressed_bytes is score.bits_per_byte is score.compress_seconds is None


def test_empty_file_has_a_size_and_no_rates(tiny_model):
    for codec in (Deflate(), ModelCodec(tiny_model, ONE_THREAD)):
        record = benchmark_row(codec, "empty", b"", describe_run("test"))

        assert record.compressed_bytes > 0
        assert record.bits_per_byte is record.adjusted_compression_rate is None


def test_key_is_known_before_the_row_is_measured(tiny_model):
    for codec in (Deflate(), ModelCodec(tiny_model, CodecConfig(lanes=2, threads=1))):
        record = benchmark_row(codec, "a.txt", TEXT, describe_run("test"))

        assert record_key(codec, TEXT) == record.key
        assert record_key(codec, TEXT + b"!") != record.key


def test_every_model_and_codec_gets_a_row_for_every_file(tiny_model):
    lines = []

    records = run_benchmark(
        {"a.txt": TEXT, "b.txt": TEXT[:99]}, ["gzip", "xz-9e"], ["tiny"], ONE_THREAD, lines.append
    )

    expected = [
        (file, codec) for file in ("a.txt", "b.txt") for codec in ("tiny", "gzip-9", "xz-9e")
    ]
    assert [(record.corpus, record.codec) for record in records] == expected
    assert lines[0] == "a.txt: tiny (1 of 6)"
    assert len(lines) == 6
    assert len({record.run_id for record in records}) == 1


def test_all_is_every_codec_that_is_installed():
    records = run_benchmark({"a.txt": TEXT[:99]}, ["all", "gzip"], [], ONE_THREAD)

    assert [record.codec for record in records] == list(classical.available())


def test_codec_that_is_not_installed_is_left_out_of_all_and_an_error_when_named(
    monkeypatch, caplog
):
    monkeypatch.setenv("PATH", "")  # no program lrzip

    assert "lrzip-z9" not in [codec.name for codec in classical_codecs(["all"])]
    assert "left out: lrzip-z9" in caplog.text
    with pytest.raises(MissingDependencyError, match="lrzip"):
        classical_codecs(["lrzip"])


def test_short_names_stand_for_the_level_that_is_known():
    shorts = [name.partition("-")[0] for name in classical.available()]

    assert [codec.name for codec in classical_codecs(shorts)] == list(classical.available())


def test_unknown_codec_and_model_raise():
    with pytest.raises(LmcompressError, match="gzpi"):
        run_benchmark({"a.txt": TEXT}, ["gzpi"], [], ONE_THREAD)
    with pytest.raises(ModelNotFoundError, match="lmc-none"):
        run_benchmark({"a.txt": TEXT}, ["gzip"], ["lmc-none"], ONE_THREAD)
