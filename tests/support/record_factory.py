"""Records for tests of what is made from records."""

from __future__ import annotations

from typing import Any

from lmcompress.benchmark.records import Record


def make_record(codec: str, corpus: str, compressed_bytes: int | None, **fields: Any) -> Record:
    """A record of 1,000 raw bytes, unless `fields` say otherwise."""
    raw_bytes = fields.get("raw_bytes", 1000)
    model_bytes = fields.get("model_bytes", 0)
    rates: dict[str, Any] = dict.fromkeys(
        ("bits_per_byte", "raw_compression_rate", "adjusted_compression_rate")
    )
    if compressed_bytes is not None:
        rates = {
            "bits_per_byte": 8 * compressed_bytes / raw_bytes,
            "raw_compression_rate": compressed_bytes / raw_bytes,
            "adjusted_compression_rate": (compressed_bytes + model_bytes) / raw_bytes,
        }
    defaults: dict[str, Any] = {
        "run_id": "20250101T000000Z-000000",
        "git_commit": "0" * 40,
        "git_dirty": False,
        "lmcompress_version": "0.1.0",
        "command": "lmcompress bench",
        "torch_version": None,
        "python_version": "3.11.7",
        "machine": "x86_64, Example CPU, 2 CPUs",
        "created_utc": "2025-01-01T00:00:00Z",
        "corpus_sha256": "a" * 64,
        "raw_bytes": raw_bytes,
        "codec_version": "1.0",
        "num_parameters": 0,
        "model_bytes": 0,
        "half_precision_model_bytes": 2 * fields.get("num_parameters", 0),
        "fingerprint": "",
        "lanes": None,
        "segment_bytes": None,
        "ideal_code_length_bits": None,
        "quantized_code_length_bits": None,
        "payload_bytes": None,
        "compress_seconds": 0.01,
        "decompress_seconds": 0.001,
        "device": "cpu",
        "num_threads": 1,
        "round_trip_ok": compressed_bytes is not None,
    }
    named = {"codec": codec, "corpus": corpus, "compressed_bytes": compressed_bytes}
    return Record(**(defaults | rates | fields | named))
