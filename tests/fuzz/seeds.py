"""What is damaged: small frames of all kinds, made when the fuzzer starts, and small files."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import lmcompress
from lmcompress import CodecConfig, Prompt
from tests.fuzz.layout import STORED, FullFrame, Segment, checksum, frames
from tests.support.record_factory import make_record

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = (GOLDEN / "v1" / "models", GOLDEN / "tokens1" / "models")
"""What $LMCOMPRESS_MODELS has to hold."""
BYTE_MODEL, TOKEN_MODEL = MODELS[0] / "golden-stream", MODELS[1] / "golden-tokens"
PROMPT = Prompt(b"It was the season of Light, ", "season")
TEXT = b"It was the best of times, it was the worst of times"
REPEATS = b"ab" * 30
NOISE = bytes.fromhex("9ce8d27af00d3bb5e1c8447fa3")
_TOKENS = b"It was the best of times,\r\nit was"
_LANES: dict[str, Any] = {"lanes": 4}
_CODED: dict[str, Any] = {"lanes": 4, "adaptive": False}


@dataclasses.dataclass(frozen=True)
class Seed:
    """Frames, and what they decode to."""

    data: bytes
    raw: bytes

    def __add__(self, other: Seed) -> Seed:
        return Seed(self.data + other.data, self.raw + other.raw)


def _made(raw: bytes, model: str, *methods: int, **options: Any) -> Seed:
    """Compresses raw bytes; the segments must come out by these methods."""
    config = CodecConfig(prompt_cache=0, threads=1, **options)
    data = lmcompress.compress(raw, model, config)
    found = [segment.method for frame in frames(data) for segment in frame.segments]
    assert found == [*methods], (model, options, found)
    return Seed(data, raw)


def _stored(raw: bytes) -> Seed:
    """No encoder stores so little of a text, but a decoder must take it."""
    [frame] = frames(lmcompress.compress(b"", "none"))
    assert isinstance(frame, FullFrame)
    frame.segments = [Segment(STORED, len(raw), None, None, checksum(raw), raw)]
    frame.totals = frame.true_totals()
    return Seed(frame.pack(), raw)


@functools.cache
def frame_seeds() -> dict[str, list[Seed]]:
    """Returns seeds by kind, the smallest that reach what they are for."""
    stored = [_stored(NOISE), _made(b"", "none"), _made(b"", "none", compact=True)]
    stored.append(_made(NOISE, "none", 1, compact=True))
    coded = [_made(TEXT, "ladder-50k", 2, **_CODED)]
    coded.append(_made(TEXT, "golden-stream", 2, **_CODED))
    compact = [
        _made(TEXT, "ladder-50k", 2, compact=True, **_CODED),
        _made(TEXT[:24], "golden-stream", 2, compact=True, lanes=1, adaptive=False),
    ]
    none = [_made(REPEATS, "none", 3), _made(REPEATS, "none", 3, compact=True, lanes=2)]
    mixed = [
        _made(TEXT, "golden-stream", 3, **_LANES),
        _made(TEXT * 3, "ladder-50k", 3, lanes=16),
        _made(TEXT, "golden-stream", 3, compact=True, **_LANES),
    ]
    prompt = [
        _made(REPEATS, "none", 3, prompt=PROMPT),
        _made(REPEATS, "none", 3, prompt=PROMPT, compact=True),
        _made(TEXT, "golden-stream", 2, prompt=PROMPT, **_CODED),
    ]
    segments = [
        _made(TEXT[:17] * 3, "golden-stream", 2, 2, 2, segment_bytes=17, **_CODED),
        _made(TEXT[:20] + NOISE + bytes(7), "golden-stream", 2, 1, segment_bytes=20, **_CODED),
    ]
    tokens = [
        _made(_TOKENS, "golden-tokens", 2, lanes=3, adaptive=False),
        _made(_TOKENS, "golden-tokens", 2, lanes=3, adaptive=False, compact=True),
        _made(_TOKENS * 4, "golden-tokens", 3, lanes=1),
        _made(b"\x80\xff" * 30, "golden-tokens", 4),
    ]
    concatenated = [stored[0] + coded[1] + stored[2], stored[3] + stored[1] + compact[1]]
    return {
        **{"stored": stored, "coded": coded, "compact": compact, "none": none, "mixed": mixed},
        **{"prompt": prompt, "segments": segments, "tokens": tokens, "frames": concatenated},
    }


TOML = """\
name = "run"
total_bytes = 100000
batch_size = 4
sequence_length = 64
short_sequence_length = 32
short_fraction = 0.5
crlf_fraction = 0.1
holdout_bytes = 4096
optimizer = "muon"
learning_rate = 0.001
eval_interval = 100
precision = "float32"
compile = false
seed = 1
init_from = ""
[sources]
"enwik8" = 0.7
"text/wikitext-2-train" = 3
[model]
n_layer = 2
n_embd = 64
n_head = 2
context_length = 64
attention_windows = [16, 0]
activation = "relu2"
norm = "rmsnorm"
positions = "rotary"
rotary_period = 128
ngram_orders = [2, 3]
ngram_bits = 8
norm_eps = 1e-05
"""


def record_lines() -> bytes:
    """Returns two records, as an experiment writes them."""
    records = [make_record("zstd-3", "text", 300), make_record("lmc-3m", "text", None, lanes=4)]
    return b"".join(json.dumps(dataclasses.asdict(r)).encode() + b"\n" for r in records)
