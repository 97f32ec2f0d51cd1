"""How much memory a segment takes, known before any of it is taken.

A few bytes of header can ask for thousands of lanes, each with keys and values of its own. The
estimates count what grows with the file's own numbers: lanes, context, segment. They leave out the
weights of the model, which was chosen by whoever installed it, and what Python and torch take.
"""

from __future__ import annotations

from lmcompress.adaptive.ends import ends_bytes
from lmcompress.adaptive.state import state_bytes
from lmcompress.codec.session import Session
from lmcompress.errors import LimitExceededError
from lmcompress.gpt.config import GPTConfig

_ENCODER_COPIES, _DECODER_COPIES = 16, 4
"""Bytes for each raw byte: an encoder has symbols of four bytes, and cuts them into lanes."""


def check_memory(
    session: Session, lanes: int, raw_bytes: int, payload_bytes: int | None = None
) -> None:
    """Raises LimitExceededError if a segment takes more memory than the session's limit."""
    needed = memory_needed(session, lanes, raw_bytes, payload_bytes)
    limit = session.config.memory_limit
    if needed > limit:
        raise LimitExceededError(
            f"a segment takes {_mebibytes(needed)} of memory (lanes: {lanes:,}, raw bytes: "
            f"{raw_bytes:,}), the limit is {_mebibytes(limit)}: allow more with memory_limit "
            "(--memory-limit)"
        )


def memory_needed(
    session: Session, lanes: int, raw_bytes: int, payload_bytes: int | None = None
) -> int:
    """Returns the bytes of memory that a segment takes at most.

    Args:
      session: Model and device.
      lanes: Of the segment.
      raw_bytes: Of the segment.
      payload_bytes: Of the segment that is to be decoded; None if it is to be encoded.
    """
    is_encoder = payload_bytes is None
    needed = segment_bytes(raw_bytes, is_encoder) + (payload_bytes or 0)
    if session.model.weights is not None:
        steps = session.encoder_steps(lanes) if is_encoder else session.decoder_steps(lanes)
        config, window = session.model.weights.config, session.policy.window
        on_gpu = session.device == "cuda"  # then keys, values and rows are not in this memory
        needed += (
            freqs_bytes(lanes, steps) if on_gpu else engine_bytes(config, lanes, steps, window)
        )
    prompt = session.config.prompt
    needed += state_bytes(raw_bytes, lanes, len(prompt.raw) if prompt else 0)
    if session.model.tokens is not None:
        needed += ends_bytes(lanes)
    return needed


def segment_bytes(raw_bytes: int, is_encoder: bool) -> int:
    """Returns the bytes that a segment's own bytes take, as input, symbols and output."""
    return raw_bytes * (_ENCODER_COPIES if is_encoder else _DECODER_COPIES)


def engine_bytes(config: GPTConfig, lanes: int, steps: int, window: int) -> int:
    """Returns the bytes of an engine's keys, values and rows of `steps` steps, at most."""
    seen = [size or window or config.context_length for size in config.attention_windows]
    position = config.n_kv_head * (2 * config.head_dim + 8)  # int8, and two float32 scales
    cache = lanes * position * sum(size + steps - 1 for size in seen)
    widest = max(config.n_embd, config.n_head * config.head_dim, config.mlp_hidden)
    row = 4 * (config.n_embd + 4 * widest + 3 * config.vocab_size)  # of float32 or int32
    return cache + lanes * steps * row


def freqs_bytes(lanes: int, steps: int) -> int:
    """Returns the bytes of the frequencies of `steps` steps: float32 of 256 bytes."""
    return lanes * steps * 256 * 4


def _mebibytes(count: int) -> str:
    return f"{-(-count >> 20):,} MiB" if count >= 1 << 20 else f"{count:,} bytes"
