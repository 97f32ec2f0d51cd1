"""Code lengths of a text under a model, without making a file."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from lmcompress.codec.config import CodecConfig, Progress
from lmcompress.codec.memory import check_memory
from lmcompress.codec.out_of_domain import session_of
from lmcompress.codec.predictor import Logits
from lmcompress.codec.segments import new_stage, segment_rounds
from lmcompress.codec.session import Session
from lmcompress.metrics import code_length_per_byte
from lmcompress.models.store import DEFAULT_MODEL, AnyModel, as_model
from lmcompress.range_coder import PRECISION_BITS
from lmcompress.tokenizer.vocabulary import TokenTable


@dataclasses.dataclass(frozen=True)
class Score:
    """Code lengths of a text under a model, in bits; no file was made."""

    raw_bytes: int
    ideal_code_length_bits: float
    """-sum(log2 p) with p before it is rounded to a frequency: the softmax of the exact logits, in
    float64, or the adaptive stage's, which are integers from the start, in segments that it codes
    better. At most the quantized one."""
    quantized_code_length_bits: float
    """-sum(log2(frequency / 2**24)): what the coder is given, after the adaptive stage if it is on
    and helps."""

    @property
    def ideal_bits_per_byte(self) -> float:
        """Ideal code length over raw bytes."""
        return code_length_per_byte(self.ideal_code_length_bits, self.raw_bytes)

    @property
    def quantized_bits_per_byte(self) -> float:
        """Quantized code length over raw bytes."""
        return code_length_per_byte(self.quantized_code_length_bits, self.raw_bytes)


def score(
    data: bytes,
    model: AnyModel = DEFAULT_MODEL,
    config: CodecConfig | None = None,
    progress: Progress | None = None,
) -> Score:
    """Returns the code lengths of `data` in the lanes and segments that `compress` would use.

    `progress` is called with the number of bytes done since its last call.

    Raises:
      ValueError: If nothing would predict.
      LimitExceededError: If a segment takes more memory than the limit.
    """
    session = Session(as_model(model), config)
    ideal = quantized = 0.0
    for offset in range(0, len(data), session.config.segment_bytes):
        raw = data[offset : offset + session.config.segment_bytes]
        coding = session.for_segment(len(raw))
        lengths = _score_segment(raw, session_of(raw, coding) or coding, progress)
        ideal, quantized = ideal + lengths[0], quantized + lengths[1]
    return Score(len(data), ideal, quantized)


def _score_segment(raw: bytes, session: Session, progress: Progress | None) -> tuple[float, float]:
    """Returns the ideal and the quantized code length of a segment."""
    symbols = session.symbols_of(raw)
    lanes = session.lanes_for(len(symbols))
    check_memory(session, lanes, len(raw))
    methods = session.methods
    lengths, ideal = session.lane_bytes(symbols, lanes), _Ideal(session.model.tokens)
    totals = dict.fromkeys(methods, 0.0)
    with session.open_encoder(lanes) as opened:
        stages = {method: new_stage(method, lengths, opened) for method in methods}
        for rounds in segment_rounds(symbols, opened, progress, ideal.add):
            for method, stage in stages.items():
                totals[method] += stage.code_length(rounds)
    quantized = min(totals.values())
    # The stage's own probabilities are what the coder gets: no rounding comes after them.
    return min(ideal.bits, quantized), quantized


class _Ideal:
    """Sums up -log2 of the softmax of exact logits, over the tokens that a text spells.

    A byte that is not a token has no logit, and counts as the coder has it at least: 24 bits.
    """

    def __init__(self, table: TokenTable | None) -> None:
        self.bits = 0.0
        self._unspelled = None if table is None else ~table.is_spelled

    def add(self, logits: Logits, symbols: npt.NDArray[np.int32]) -> None:
        """Adds symbols (n,), of which logits (n, vocab_size) are known."""
        is_token = symbols < logits.shape[1]
        nats = logits[is_token].astype(np.float64)
        if self._unspelled is not None:
            nats[:, self._unspelled] = -np.inf
        nats -= nats.max(axis=1, keepdims=True)
        chosen = np.take_along_axis(nats, symbols[is_token, None].astype(np.int64), 1)[:, 0]
        self.bits += float((np.log(np.exp(nats).sum(axis=1)) - chosen).sum() / np.log(2))
        self.bits += PRECISION_BITS * int((~is_token).sum())
