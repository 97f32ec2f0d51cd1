"""Data that a GPT knows nothing about, recognized before it has run over all of it.

A GPT of text gives most bytes of an image or a program less than one chance in 256, which is worse
than not to predict. The adaptive stage learns to ignore it, and does better without.
"""

from __future__ import annotations

import numpy as np

from lmcompress.codec.memory import check_memory
from lmcompress.codec.segments import segment_rounds
from lmcompress.codec.session import Session
from lmcompress.range_coder import PRECISION_BITS
from lmcompress.tokenizer.bpe import broken_bytes

MAX_BROKEN = 1 / 8
"""What is no text to a model of tokens has a larger share that is not UTF-8."""
MIN_SAMPLED_BYTES = 1 << 16
"""Less is not sampled: it takes the GPT no longer than a few seconds."""
_SAMPLES, _SAMPLE_BYTES = 16, 128
_MAX_KNOWN = 2
"""Samples of an out-of-domain segment that may be known: a GPT that helps a part of it is worth its
time."""
_MAX_UNLIKELY = 1 / 3
"""Bytes of a known sample that may have less than one chance in 256. With lmc-3m, samples of most
text, of any language or kind, have fewer than a fifth of such bytes; images, sound, programs and
tables of numbers have more than a third."""


def session_of(raw: bytes, session: Session) -> Session | None:
    """Returns the session that codes a segment best: with its GPT, without, or None to store it.

    The same on every machine. With a prompt, which may hold such bytes, without the adaptive stage,
    and in compact frames, which are for small texts, the GPT is not left out.
    """
    config = session.config
    can_leave_out = config.adaptive and config.prompt is None and not config.compact
    if session.model.weights is None:
        return session
    if session.model.tokens is not None:  # reads only text
        if broken_bytes(raw) <= MAX_BROKEN * len(raw):
            return session
        return session.without_gpt if can_leave_out else None
    return session.without_gpt if can_leave_out and _is_out_of_domain(raw, session) else session


def _is_out_of_domain(raw: bytes, session: Session) -> bool:
    """Whether a GPT of bytes knows nothing about nearly all samples of a segment."""
    return len(raw) >= MIN_SAMPLED_BYTES and _known_samples(raw, session) <= _MAX_KNOWN


def _known_samples(raw: bytes, session: Session) -> int:
    """Returns how many of the samples the GPT knows something about; it reads them in a row."""
    starts = np.linspace(0, len(raw) - _SAMPLE_BYTES, _SAMPLES).astype(int)
    sample = b"".join(raw[start : start + _SAMPLE_BYTES] for start in starts)
    symbols = np.frombuffer(sample, np.uint8).astype(np.int32)
    check_memory(session, 1, len(sample))
    with session.open_encoder(1) as opened:
        is_unlikely = np.concatenate(
            [
                np.take_along_axis(rounds.freqs, rounds.symbols[:, None].astype(np.int64), 1)
                < 1 << (PRECISION_BITS - 8)
                for rounds in segment_rounds(symbols, opened)
            ]
        )
    shares = is_unlikely.reshape(_SAMPLES, _SAMPLE_BYTES).mean(axis=1)
    return int((shares <= _MAX_UNLIKELY).sum())
