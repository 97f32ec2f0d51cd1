"""A model's predictions of a text, as an encoder has them."""

from __future__ import annotations

from collections.abc import Iterator

from lmcompress.codec.segments import segment_rounds
from lmcompress.codec.session import Session
from lmcompress.tokenizer.rounds import Rounds
from lmcompress.tokenizer.trie import Symbols


def predictions(session: Session, symbols: Symbols, lanes: int) -> Iterator[Rounds]:
    """Yields what a session's model says of each byte of the symbols, in the codec's order."""
    with session.open_encoder(lanes) as opened:
        yield from segment_rounds(symbols, opened)
