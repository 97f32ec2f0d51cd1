"""A model's predictions of a text, as an encoder has them."""

from __future__ import annotations

from collections.abc import Iterator

from lmcompress.codec.lanes import segment_blocks
from lmcompress.codec.session import Session
from lmcompress.tokenizer.rounds import Rounds
from lmcompress.tokenizer.trie import Symbols


def predictions(session: Session, symbols: Symbols, lanes: int) -> Iterator[Rounds]:
    """Yields what a session's model says of each byte of the symbols, in the codec's order."""
    with session.open_encoder(lanes) as opened:
        predictor = opened.predictor
        for tokens, coming in segment_blocks(
            symbols, lanes, opened.block, predictor, opened.first_token
        ):
            yield from predictor.spell(tokens, coming)
