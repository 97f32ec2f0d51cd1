"""What the processes do. Only one of these functions runs in each process.

Encoder and decoder take single steps and differ in one call. The one that encodes never gets the
text, so that `tokenize` cannot remember it; the one that decodes gets the file alone. A codec
compresses in one process and decompresses in another, which gets the file alone, too.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lmcompress.errors import NotProvenError
from lmcompress.format.wire import ByteReader, encode_varint, read_all
from lmcompress.prove.loading import CODEC, load_any, load_codec, load_predictor, symbol_table
from lmcompress.prove.protocol import Scores, Tokenizes
from lmcompress.prove.rows import to_freqs
from lmcompress.prove.steps import Steps, first_difference
from lmcompress.range_coder import RangeEncoder, SymbolDecoder, long_payload

NewSteps = Callable[[list[bytes]], Steps]
"""Makes the notes of a process, given the bytes of each symbol."""


def split_file(compressed: bytes) -> tuple[int, bytes]:
    """Returns the number of symbols in a compressed file, and the coder's payload.

    Raises:
      CorruptFrameError: If it does not begin with a varint.
    """
    reader = ByteReader(source := io.BytesIO(compressed))
    return reader.read_varint("the number of symbols"), read_all(source)


def tokenize(folder: Path, entry: str, raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns facts about the tokens, and the tokens as int32; of a codec, which has none, facts.

    Raises:
      NotProvenError: If the tokens' bytes are not the text.
    """
    kind, predictor = load_any(folder, entry)
    if kind == CODEC:
        return {"kind": kind, "vocab_size": 0, "replaced_bytes": _replaced_bytes([raw])}, b""
    table = symbol_table(predictor.symbols)
    tokens = predictor.tokenize(raw) if isinstance(predictor, Tokenizes) else raw
    symbols = [int(symbol) for symbol in tokens]
    if symbols and not 0 <= min(symbols) <= max(symbols) < len(table):
        found = min(symbols) if min(symbols) < 0 else max(symbols)
        raise NotProvenError(
            f"tokenize() gives symbol {found}, expected 0 to {len(table) - 1}: there is no such one"
        )
    spelled = b"".join(table[symbol] for symbol in symbols)
    if spelled != raw:
        at = first_difference(spelled, raw)
        raise NotProvenError(
            f"the tokens' bytes are not the text: they first differ at byte {at}, "
            f"{spelled[at : at + 12]!r} for {raw[at : at + 12]!r}"
        )
    facts = {
        "kind": kind,
        "vocab_size": len(table),
        "has_score": isinstance(predictor, Scores),
        "replaced_bytes": _replaced_bytes(table[symbol] for symbol in symbols),
    }
    return facts, np.array(symbols, np.int32).tobytes()


def _replaced_bytes(pieces: Iterable[bytes]) -> int:
    """Returns how many bytes pieces have as text, each with U+FFFD for what is not UTF-8."""
    return sum(len(piece.decode(errors="replace").encode()) for piece in pieces)


def encode(folder: Path, entry: str, data: bytes, steps: NewSteps) -> bytes:
    """Returns bits, checksums and the compressed file of symbols in int32."""
    predictor, table = load_predictor(folder, entry)
    symbols, sink, noted = np.frombuffer(data, np.int32), RangeEncoder(), steps(table)
    predictor.reset()
    for symbol in symbols.tolist():
        row = noted.row(predictor.probabilities())
        sink.encode(np.array([symbol], np.int32), to_freqs(row))
        noted.take(symbol, row)
        predictor.push(symbol)
    return noted.packed() + encode_varint(len(symbols)) + sink.short_payload()


def decode(folder: Path, entry: str, data: bytes, steps: NewSteps) -> tuple[dict[str, Any], bytes]:
    """Returns bits, checksums and the bytes of a compressed file, as far as it came."""
    predictor, table = load_predictor(folder, entry)
    count, payload = split_file(data)
    source, noted, pieces = SymbolDecoder(long_payload(payload)), steps(table), []
    facts: dict[str, Any] = {}
    predictor.reset()
    try:
        for _ in range(count):
            row = noted.row(predictor.probabilities())
            symbol = source.decode(to_freqs(row))
            noted.take(symbol, row)
            pieces.append(table[symbol])
            predictor.push(symbol)
    except Exception as exc:  # once it has gone astray, a predictor may raise anything
        facts["stopped"] = f"{type(exc).__name__}: {exc}"
    return {**facts, "count": len(noted.bits)}, noted.packed() + b"".join(pieces)


def score(folder: Path, entry: str, data: bytes, steps: NewSteps) -> bytes:
    """Returns bits and checksums of the rows that `score` gives for all symbols at once."""
    predictor, table = load_predictor(folder, entry)
    symbols, noted = np.frombuffer(data, np.int32).tolist(), steps(table)
    predictor.reset()
    rows: Iterable[Any] = predictor.score(list(symbols))
    for symbol, found in zip(symbols, rows, strict=False):
        noted.take(symbol, noted.row(found))
    if len(noted.bits) != len(symbols):
        raise NotProvenError(f"score() gives {len(noted.bits)} rows for {len(symbols)} symbols")
    return noted.packed()


def compress(folder: Path, entry: str, raw: bytes) -> bytes:
    """Returns the file that a codec makes of a text."""
    return _checked_bytes("compress", load_codec(folder, entry).compress(raw))


def decompress(folder: Path, entry: str, compressed: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns what a codec makes of its file; if it raises, that and nothing."""
    codec = load_codec(folder, entry)
    try:
        found = codec.decompress(compressed)
    except Exception as exc:  # what went astray shows when bytes are compared
        return {"stopped": f"{type(exc).__name__}: {exc}"}, b""
    return {}, _checked_bytes("decompress", found)


def _checked_bytes(method: str, found: Any) -> bytes:
    if not isinstance(found, bytes):
        raise NotProvenError(f"{method}() returned {type(found).__name__}, expected bytes")
    return found
