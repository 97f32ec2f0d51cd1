"""Segments of tokens: encoding and decoding side by side.

Each step of each lane is coded in two levels: the group (or, as one group more, the escape), then
the member of the group (or the byte that no token spells). At a step all lanes' groups come first,
then all lanes' members. The number of symbols comes before the coder's bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lmcompress.codec.config import Progress
from lmcompress.codec.lanes import LaneLayout
from lmcompress.codec.predictor import Logits, TokenPredictor
from lmcompress.codec.session import Opened
from lmcompress.errors import CorruptFrameError
from lmcompress.format.wire import ByteReader, encode_varint
from lmcompress.range_coder import (
    PRECISION_BITS,
    Freqs,
    RangeDecoder,
    RangeEncoder,
    long_payload,
    symbol_bits,
)
from lmcompress.tokenizer.groups import group_freqs
from lmcompress.tokenizer.vocabulary import GROUP_SIZE, Symbols

_COUNT = 64
"""What one escape, or one symbol that was none, adds to the counts below."""
_PRIOR = np.array([(1, 1 << 14), (32, 64)], np.int64)
"""Escapes and all symbols at first: 2**-14 after a token, 1/2 after an escape."""


class EscapeModel:
    """How often tokens are left for single bytes, counted apart after tokens and after escapes.

    All lanes of a segment share the counts, which change after each step. A text without escapes
    pays for them some 0.1 bits in all.
    """

    def __init__(self, lanes: int, num_groups: int) -> None:
        self._counts = _PRIOR.copy()
        self._was_escaped = np.zeros(lanes, np.int64)
        self._budget = (1 << PRECISION_BITS) - (num_groups + 1)

    def freqs(self, active: int) -> npt.NDArray[np.int64]:
        """Returns the escape's frequency, less one, for each of the first `active` lanes."""
        escapes, total = self._counts[self._was_escaped[:active]].T
        freqs: npt.NDArray[np.int64] = self._budget * escapes // total
        return freqs

    def update(self, is_escaped: npt.NDArray[np.bool_]) -> None:
        """Takes what a step's lanes had."""
        active = len(is_escaped)
        after = self._was_escaped[:active]
        for context in (0, 1):
            found = is_escaped[after == context]
            self._counts[context] += (_COUNT * int(found.sum()), _COUNT * len(found))
        self._was_escaped[:active] = is_escaped


class TokenStage:
    """Between predictor and coder: two levels and the escape; new for each segment."""

    def __init__(self, predictor: TokenPredictor, lanes: int) -> None:
        self._predictor = predictor
        self._escapes = EscapeModel(lanes, predictor.table.num_groups)

    def rows(
        self, symbols: Symbols, logits: Logits
    ) -> tuple[tuple[Symbols, Freqs], tuple[Symbols, Freqs]]:
        """Returns, for each level, a step's symbols and the frequencies they are coded under.

        Args:
          symbols: Of the lanes that have one, int32 (n,).
          logits: Exact logits, float32 (n, vocab_size), as the predictor's `rows` has them.
        """
        groups, members = np.divmod(symbols, np.int32(GROUP_SIZE))
        found = self._predictor.groups(logits)
        upper = group_freqs(found.sums, self._escapes.freqs(len(symbols)))
        self._update(groups)
        return (groups, upper), (members, found.members(groups.astype(np.int64)))

    def encode(self, encoder: RangeEncoder, symbols: Symbols, logits: Logits) -> None:
        """Encodes a step; arguments as those of `rows`."""
        for level, freqs in self.rows(symbols, logits):
            encoder.encode(level, freqs)

    def decode(self, decoder: RangeDecoder, logits: Logits) -> Symbols:
        """Decodes a step, (n,), under logits (n, vocab_size)."""
        found = self._predictor.groups(logits)
        upper = group_freqs(found.sums, self._escapes.freqs(len(logits)))
        groups = decoder.decode(upper)
        self._update(groups)
        return groups * np.int32(GROUP_SIZE) + decoder.decode(
            found.members(groups.astype(np.int64))
        )

    def _update(self, groups: Symbols) -> None:
        self._escapes.update(groups == self._predictor.table.num_groups)


def token_blocks(
    symbols: Symbols, lanes: int, block: int, predictor: TokenPredictor
) -> Iterator[tuple[npt.NDArray[np.int64], list[Symbols]]]:
    """Yields tokens (lanes, steps), which the model reads, and the symbols of each step."""
    layout = LaneLayout(len(symbols), lanes)
    rows = layout.split(symbols)
    read = predictor.table.read_as(rows, predictor.bos_id)
    tokens = np.pad(read[:, :-1], ((0, 0), (1, 0)), constant_values=predictor.bos_id)
    for start in range(0, layout.steps, block):
        steps = range(start, min(start + block, layout.steps))
        yield (
            tokens[:, start : steps.stop],
            [np.ascontiguousarray(rows[: layout.active(step), step]) for step in steps],
        )


def encode_tokens(
    symbols: Symbols,
    opened: Opened[TokenPredictor],
    progress: Progress | None = None,
    *,
    short: bool = False,
) -> bytes:
    """Returns the payload of a segment's symbols.

    Args:
      symbols: Of the predictor's table, int32 (n,), n >= lanes.
      opened: A new predictor.
      progress: Called with the number of bytes done since its last call.
      short: Whether to cut the coder's bytes short, as compact frames have them.
    """
    predictor = opened.predictor
    encoder, stage = RangeEncoder(), TokenStage(predictor, opened.lanes)
    for tokens, steps in token_blocks(symbols, opened.lanes, opened.block, predictor):
        logits = predictor.rows(tokens)
        for step, rows in zip(steps, logits, strict=True):
            stage.encode(encoder, step, rows[: len(step)])
        if progress:
            progress(sum(map(predictor.table.num_bytes, steps)))
    coded = encoder.short_payload() if short else encoder.payload()
    return encode_varint(len(symbols)) + coded


def decode_tokens(
    payload: bytes,
    raw_bytes: int,
    opened: Opened[TokenPredictor],
    progress: Progress | None = None,
    *,
    short: bool = False,
) -> bytes:
    """Inverts `encode_tokens`; damage gives wrong bytes, which the caller's checksum finds.

    Raises:
      CorruptFrameError: If the payload cannot hold what it says it does.
    """
    predictor, lanes = opened.predictor, opened.lanes
    count, coded = _split_payload(payload)
    if not lanes <= count <= min(raw_bytes, most_symbols(len(coded))):
        raise CorruptFrameError(
            f"a segment of {raw_bytes} bytes says it has {count} tokens in {lanes} lanes and "
            f"{len(coded)} coded bytes: the file is damaged"
        )
    layout, decoder = (
        LaneLayout(count, lanes),
        RangeDecoder(long_payload(coded) if short else coded),
    )
    stage, table = TokenStage(predictor, lanes), predictor.table
    symbols = np.zeros((lanes, layout.steps), np.int32)
    tokens = np.full((lanes, 1), predictor.bos_id, np.int64)
    for step in range(layout.steps):
        active = layout.active(step)
        decoded = stage.decode(decoder, predictor.rows(tokens)[0, :active])
        symbols[:active, step] = decoded
        tokens[:active, 0] = table.read_as(decoded, predictor.bos_id)
        if progress:
            progress(table.num_bytes(decoded))
    return table.join(layout.join(symbols))


def _split_payload(payload: bytes) -> tuple[int, bytes]:
    stream = ByteReader(io.BytesIO(payload))
    count = stream.read_varint("the number of tokens of a segment")
    return count, payload[stream.position :]


def most_symbols(coded_bytes: int) -> int:
    """Returns the most symbols that so many coded bytes hold.

    A member has a frequency of at most 2**24 - 255, so a symbol costs more than
    255 / (2**24 * ln 2) bits; ln 2 < 7 / 10, and the coder's end may save 64 bits.
    """
    return (8 * coded_bytes + 64) * (7 << PRECISION_BITS) // (10 * (GROUP_SIZE - 1))


def coded_bits(stage: TokenStage, symbols: Symbols, logits: Logits) -> npt.NDArray[np.float64]:
    """Returns the quantized code length of each symbol of a step, (n,)."""
    upper, lower = (symbol_bits(freqs, level) for level, freqs in stage.rows(symbols, logits))
    return upper + lower
