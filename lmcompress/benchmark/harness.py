"""Codecs and models side by side: every row is compressed, decompressed, compared and timed.

Sizes are those of real outputs that gave back the original. Times are of the codec alone: models
are loaded and code is compiled before the clock starts, and short runs are repeated.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lmcompress.api import one_shot
from lmcompress.benchmark import classical
from lmcompress.benchmark.protocol import Codec
from lmcompress.benchmark.provenance import describe_run, utc_now
from lmcompress.benchmark.records import Record, RunInfo
from lmcompress.codec import scoring
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.session import Session, resolve_device, resolve_threads
from lmcompress.errors import LmcompressError, MissingDependencyError
from lmcompress.format.file import read_frames
from lmcompress.format.header import FORMAT_VERSION
from lmcompress.metrics import (
    adjusted_compression_rate,
    bits_per_byte,
    half_precision_model_bytes,
    raw_compression_rate,
)
from lmcompress.models.store import Model, load_model
from lmcompress.tokenizer.bpe import tokenizer_of

logger = logging.getLogger(__name__)

MIN_LOOP_SECONDS = 0.2
"""Shorter calls are repeated until this much time has passed; the fastest counts."""
WARM_UP_BYTES = 4096

Progress = Callable[[str], None]


class ModelCodec:
    """A loaded model as a codec. Files of it decode with the command line as well."""

    def __init__(self, model: Model, config: CodecConfig | None = None) -> None:
        """Resolves the device and the engine now, so that anything missing is reported early."""
        from lmcompress.gpt.quantization import ARITHMETIC_VERSION

        config = config or CodecConfig()
        device = resolve_device(config.device)  # for files of all sizes
        self.model, self.config = model, dataclasses.replace(config, device=device)
        self.device = _device_name(device)
        self.num_threads = resolve_threads(self.config.threads) if model.weights else 1
        lanes = self.config.lanes
        suffix = "" if lanes == "auto" else f" ({lanes} lane{'s' if lanes > 1 else ''})"
        if not self.config.adaptive:
            suffix += " (no adaptive stage)"
        if self.config.compact:
            suffix += " (compact)"
        self.name = f"{model.name if model.weights else 'adaptive stage alone'}{suffix}"
        self.version = f"format {FORMAT_VERSION}, arithmetic {ARITHMETIC_VERSION}"
        self.model_bytes = model.model_bytes
        self.num_parameters = model.num_parameters
        self.fingerprint = model.fingerprint.hex()

    def compress(self, raw: bytes) -> bytes:
        """Returns an .lmc frame."""
        return one_shot.compress(raw, self.model, self.config)

    def decompress(self, compressed: bytes) -> bytes:
        """Inverts `compress`."""
        return one_shot.decompress(compressed, self.model, self.config)

    def lanes_for(self, raw: bytes) -> int:
        """Returns the lanes of the first segment, which is the largest."""
        session, head = Session(self.model, self.config), raw[: self.config.segment_bytes]
        if self.model.tokens is None:
            return session.lanes_for(len(head))
        symbols = tokenizer_of(self.model.folder, self.model.tokens).encode(head)
        return session.lanes_for(len(symbols))


def _device_name(device: str) -> str:
    """Returns "cpu", or "cuda" with the name of the GPU, which a record's machine does not have."""
    if device != "cuda":
        return device
    import torch

    return f"cuda ({torch.cuda.get_device_name()})"


class Measurement(NamedTuple):
    """The outcome of one codec on one corpus, after its round trip was compared."""

    compressed: bytes
    compress_seconds: float
    decompress_seconds: float


def run_benchmark(
    files: Mapping[str, bytes],
    codecs: Sequence[str],
    models: Sequence[str],
    config: CodecConfig,
    progress: Progress | None = None,
    *,
    command: str | None = None,
) -> list[Record]:
    """Returns one record for each codec and model on each file.

    Args:
      files: Raw bytes by the name to put into the records.
      codecs: Names of classical codecs, "gzip" for "gzip-9"; "all" for those installed.
      models: Names or folders.
      config: Settings of the models.
      progress: Called with a line of text before each row.
      command: The command to put into the records.

    Raises:
      LmcompressError: If a codec did not give back the original; the message names both.
      ModelNotFoundError: If the model is unknown.
      MissingDependencyError: If a codec that is named is not installed.
    """
    chosen: list[Codec] = [ModelCodec(load_model(name), config) for name in models]
    chosen += classical_codecs(codecs)
    run = describe_run(command)
    records: list[Record] = []
    for corpus, raw in files.items():
        for codec in chosen:
            if progress:
                total = len(files) * len(chosen)
                progress(f"{corpus}: {codec.name} ({len(records) + 1} of {total})")
            records.append(benchmark_row(codec, corpus, raw, run))
    return records


def classical_codecs(names: Sequence[str]) -> list[Codec]:
    """Returns codecs by name, each once; what is not installed is left out of "all", and logged.

    Raises:
      LmcompressError: If a name is unknown; the message has the nearest.
      MissingDependencyError: If a codec that is named is not installed.
    """
    found: dict[str, Codec] = {}
    for name in names:
        for known in classical.names() if name == "all" else [_full_name(name)]:
            try:
                found[known] = classical.get(known)
            except ValueError as exc:
                raise LmcompressError(str(exc)) from exc
            except MissingDependencyError as exc:
                if name != "all":
                    raise
                logger.warning("left out: %s", exc)
    return list(found.values())


def _full_name(name: str) -> str:
    """Returns "gzip-9" for "gzip"; an unknown name is returned unchanged."""
    known = classical.names()
    starts = [full for full in known if full.partition("-")[0] == name]
    return starts[0] if name not in known and starts else name


def benchmark_row(codec: Codec, corpus: str, raw: bytes, run: RunInfo) -> Record:
    """Returns the record of one codec on one corpus; raises LmcompressError on a wrong result."""
    measured = measure(codec, corpus, raw)
    return _record(
        codec,
        corpus,
        raw,
        run,
        len(measured.compressed),
        **_model_fields(codec, raw, measured.compressed),
        compress_seconds=measured.compress_seconds,
        decompress_seconds=measured.decompress_seconds,
    )


def chunked_row(codec: Codec, corpus: str, raw: bytes, run: RunInfo, chunk_bytes: int) -> Record:
    """Returns the record of a codec without a model that gets the chunks of a corpus one by one.

    Its size is the sum of the chunks' sizes, each decompressed and compared; it is not timed.

    Raises:
      LmcompressError: On a wrong result.
    """
    compressed_bytes = 0
    with _naming(codec, corpus):
        for start in range(0, len(raw), chunk_bytes):
            chunk = raw[start : start + chunk_bytes]
            compressed = codec.compress(chunk)
            _check_restored(codec.decompress(compressed), chunk)
            compressed_bytes += len(compressed)
    return _record(
        codec,
        corpus,
        raw,
        run,
        compressed_bytes,
        **_model_fields(codec, raw),
        name=chunked_name(codec.name, chunk_bytes),
        compress_seconds=None,
        decompress_seconds=None,
    )


def scored_row(codec: ModelCodec, corpus: str, raw: bytes, run: RunInfo) -> Record:
    """Returns the record of a model's code lengths on a corpus: no file, hence no size."""
    with _naming(codec, corpus):
        scored = scoring.score(raw, codec.model, codec.config)
    lengths = {
        "ideal_code_length_bits": scored.ideal_code_length_bits,
        "quantized_code_length_bits": scored.quantized_code_length_bits,
    }
    no_times = {"compress_seconds": None, "decompress_seconds": None}
    return _record(codec, corpus, raw, run, None, **_model_fields(codec, raw) | lengths | no_times)


def chunked_name(name: str, chunk_bytes: int) -> str:
    """Returns the name of a codec in rows where it gets chunks."""
    return f"{name} (chunks of {chunk_bytes:,})"


def _record(
    codec: Codec,
    corpus: str,
    raw: bytes,
    run: RunInfo,
    compressed_bytes: int | None,
    name: str | None = None,
    **fields: Any,
) -> Record:
    """Returns the record of a round trip that was compared, under the codec's or another name.

    If compressed_bytes is None, nothing was compressed, so the record has no rate.
    """
    common = {
        **vars(run),
        **_rates(compressed_bytes, codec.model_bytes, len(raw)),
        "created_utc": utc_now(),
        "corpus": corpus,
        "corpus_sha256": hashlib.sha256(raw).hexdigest(),
        "raw_bytes": len(raw),
        "codec": name or codec.name,
        "codec_version": codec.version,
        "num_parameters": codec.num_parameters,
        "model_bytes": codec.model_bytes,
        "half_precision_model_bytes": half_precision_model_bytes(codec.num_parameters),
        "fingerprint": codec.fingerprint,
        "compressed_bytes": compressed_bytes,
        "round_trip_ok": compressed_bytes is not None,
    }
    return Record(**(common | fields))


def record_key(codec: Codec, raw: bytes) -> tuple[object, ...]:
    """Returns the `Record.key` that a row will have, without measuring it."""
    lanes, segment_bytes = None, None
    if isinstance(codec, ModelCodec):
        lanes, segment_bytes = codec.lanes_for(raw), codec.config.segment_bytes
    sha256 = hashlib.sha256(raw).hexdigest()
    return codec.name, codec.version, sha256, codec.fingerprint, lanes, segment_bytes


def measure(codec: Codec, corpus: str, raw: bytes) -> Measurement:
    """Compresses, decompresses, compares and times.

    Raises:
      LmcompressError: If the result is not the original or the codec fails; names codec and corpus.
    """
    head = raw[:WARM_UP_BYTES]
    with _naming(codec, corpus):
        restored = codec.decompress(codec.compress(head))
        _check_restored(restored, head)
        compress_seconds, compressed = _best_of(lambda: codec.compress(raw))
        decompress_seconds, _ = _best_of(
            lambda: codec.decompress(compressed), lambda restored: _check_restored(restored, raw)
        )
    return Measurement(compressed, compress_seconds, decompress_seconds)


def payload_bytes(compressed: bytes) -> int:
    """Returns what the coder wrote into a file of .lmc frames: all but headers and end markers."""
    frames = read_frames(io.BytesIO(compressed), skip_payloads=True)
    return sum(segment.payload_bytes for frame in frames for segment, _ in frame)


def _best_of(
    call: Callable[[], bytes], check: Callable[[bytes], None] = lambda result: None
) -> tuple[float, bytes]:
    """Returns the shortest of at least one call, repeated for MIN_LOOP_SECONDS; checks each."""
    best, total = float("inf"), 0.0
    while total < MIN_LOOP_SECONDS:
        start = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - start
        check(result)
        best, total = min(best, seconds), total + seconds
    return best, result


def _check_restored(restored: bytes, raw: bytes) -> None:
    if restored != raw:
        raise LmcompressError(
            f"gave back {len(restored):,} bytes that are not the {len(raw):,} compressed: "
            "report a bug; its size was not recorded"
        )


@contextlib.contextmanager
def _naming(codec: Codec, corpus: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise  # the command line says what helps
    except Exception as exc:  # whatever a third party's codec raises
        raise LmcompressError(f"{codec.name} ({codec.version}) on {corpus}: {exc}") from exc


def _rates(compressed_bytes: int | None, model_bytes: int, raw_bytes: int) -> dict[str, Any]:
    names = ("bits_per_byte", "raw_compression_rate", "adjusted_compression_rate")
    if compressed_bytes is None or not raw_bytes:
        return dict.fromkeys(names)  # JSON has no nan
    return {
        "bits_per_byte": bits_per_byte(compressed_bytes, raw_bytes),
        "raw_compression_rate": raw_compression_rate(compressed_bytes, raw_bytes),
        "adjusted_compression_rate": adjusted_compression_rate(
            compressed_bytes, model_bytes, raw_bytes
        ),
    }


def _model_fields(codec: Codec, raw: bytes, compressed: bytes = b"") -> dict[str, Any]:
    """Returns the fields that only a model's row fills; code lengths are None."""
    lengths = dict.fromkeys(("ideal_code_length_bits", "quantized_code_length_bits"))
    if not isinstance(codec, ModelCodec):
        empty = dict.fromkeys(("lanes", "segment_bytes", "payload_bytes"))
        return lengths | empty | {"device": "cpu", "num_threads": 1}
    return lengths | {
        "lanes": codec.lanes_for(raw),
        "segment_bytes": codec.config.segment_bytes,
        "payload_bytes": payload_bytes(compressed) if compressed else None,
        "num_threads": codec.num_threads,
        "device": codec.device,
    }
