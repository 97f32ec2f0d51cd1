"""Code lengths of a text under a model, without making a file."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive import AdaptiveStage
from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.lanes import LaneLayout, segment_blocks
from lmcompress.codec.predictor import Logits
from lmcompress.codec.session import Session
from lmcompress.codec.token_segments import TokenStage, coded_bits, token_blocks
from lmcompress.models.store import DEFAULT_MODEL, AnyModel, as_model
from lmcompress.range_coder import quantized_code_length_bits
from lmcompress.tokenizer.bpe import tokenizer_of
from lmcompress.tokenizer.vocabulary import Symbols


@dataclasses.dataclass(frozen=True)
class Score:
    """Code lengths of a text under a model, in bits; no file was made."""

    raw_bytes: int
    ideal_code_length_bits: float
    """-sum(log2 p) with p the softmax of the exact logits, in float64."""
    quantized_code_length_bits: float
    """-sum(log2(frequency / 2**24)): what the coder is given, after the adaptive stage if it is on
    and helps."""

    @property
    def ideal_bits_per_byte(self) -> float:
        """Ideal code length over raw bytes."""
        return self.ideal_code_length_bits / self.raw_bytes if self.raw_bytes else float("nan")

    @property
    def quantized_bits_per_byte(self) -> float:
        """Quantized code length over raw bytes."""
        return self.quantized_code_length_bits / self.raw_bytes if self.raw_bytes else float("nan")


def score(
    data: bytes,
    model: AnyModel = DEFAULT_MODEL,
    config: CodecConfig | None = None,
    progress: Progress | None = None,
) -> Score:
    """Returns the code lengths of `data` in the lanes and segments that `compress` would use.

    `progress` is called with the number of bytes done since its last call.
    """
    session = Session(as_model(model), config)
    score_segment = _score_tokens if session.model.tokens else _score_bytes
    ideal = quantized = 0.0
    for offset in range(0, len(data), session.config.segment_bytes):
        raw = data[offset : offset + session.config.segment_bytes]
        lengths = score_segment(raw, session, progress)
        ideal, quantized = ideal + lengths[0], quantized + lengths[1]
    return Score(len(data), ideal, quantized)


def _score_bytes(raw: bytes, session: Session, progress: Progress | None) -> tuple[float, float]:
    """Returns the ideal and the quantized code length of a segment."""
    lanes = session.lanes_for(len(raw))
    ideal = direct = mixed = 0.0
    with session.open_encoder(lanes) as opened:
        predictor, before = opened.predictor, opened.prompt.stage if opened.prompt else None
        steps = LaneLayout(len(raw), lanes).steps
        stage = AdaptiveStage(lanes, steps, before) if session.config.adaptive else None
        for tokens, symbols in segment_blocks(raw, lanes, opened.block, opened.first_token):
            logits = np.empty((tokens.shape[1], lanes, predictor.vocab_size), np.float32)
            freqs = predictor.predict(tokens, logits)
            rows = freqs.reshape(-1, predictor.vocab_size)[: len(symbols)]
            direct += quantized_code_length_bits(rows, symbols)
            if stage is not None:
                bits, bit_freqs = stage.predict(symbols, freqs)
                mixed += quantized_code_length_bits(bit_freqs, bits)
            flat = logits.reshape(-1, predictor.vocab_size)[: len(symbols)]
            ideal += _ideal_bits(flat, symbols)
            if progress:
                progress(len(symbols))
    return ideal, min(direct, mixed) if stage is not None else direct


def _score_tokens(raw: bytes, session: Session, progress: Progress | None) -> tuple[float, float]:
    """Returns the ideal and the quantized code length of a segment for a model of tokens.

    The softmax is over the tokens that a text spells; escapes have no logit, and count as coded.
    """
    table = session.model.tokens
    assert table is not None
    symbols = tokenizer_of(session.model.folder, table).encode(raw)
    lanes = session.lanes_for(len(symbols))
    ideal = quantized = 0.0
    with session.open_token_encoder(lanes) as opened:
        predictor = opened.predictor
        stage = TokenStage(predictor, lanes)
        for tokens, steps in token_blocks(symbols, lanes, opened.block, predictor):
            for step, rows in zip(steps, predictor.rows(tokens), strict=True):
                bits = coded_bits(stage, step, rows[: len(step)])
                quantized += bits.sum()
                logits = predictor.on_host(rows[: len(step)])
                ideal += _ideal_token_bits(logits, step, table.is_spelled, bits)
            if progress:
                progress(sum(map(table.num_bytes, steps)))
    return ideal, quantized


def _ideal_token_bits(
    logits: Logits,
    step: Symbols,
    is_spelled: npt.NDArray[np.bool_],
    coded: npt.NDArray[np.float64],
) -> float:
    is_token = step < logits.shape[1]
    spelled = np.where(is_spelled, logits, -np.inf)[is_token]
    return _ideal_bits(spelled, step[is_token]) + float(coded[~is_token].sum())


def _ideal_bits(logits: npt.NDArray[np.float32], symbols: npt.NDArray[np.int32]) -> float:
    nats = logits.astype(np.float64)
    nats -= nats.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(nats, symbols[:, None].astype(np.int64), 1)[:, 0]
    return float((np.log(np.exp(nats).sum(axis=1)) - chosen).sum() / np.log(2))
