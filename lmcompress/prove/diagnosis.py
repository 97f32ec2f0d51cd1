"""Why a proof failed, in plain words: chance, foresight, or a different model.

Fresh processes tell them apart: the same input again, then another future of the same length. A
shorter one would change the last bits of floats as well, since blocks of other sizes round in
another order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.errors import NotProvenError
from lmcompress.prove.processes import Answer, Settings, Subject, run
from lmcompress.prove.steps import first_difference

ROUNDING = 0.001
"""Bits per byte by which a causal `score` may differ from single steps."""

Symbols = npt.NDArray[np.int32]


def first_unequal(one: Answer, other: Answer) -> int | None:
    """Returns the first symbol before which two processes got different rows; None if none."""
    length = min(len(one.checks), len(other.checks))
    different = np.flatnonzero(one.checks[:length] != other.checks[:length])
    if len(different):
        return int(different[0])
    return None if len(one.checks) == len(other.checks) else length


def is_chance(
    role: str, subject: Subject, symbols: Symbols, first: Answer, settings: Settings
) -> str:
    """Returns what shows that equal runs differ; "" if two do not."""
    at = first_unequal(first, run(role, subject, symbols.tobytes(), settings))
    return "" if at is None else f"it is not deterministic: two equal runs differ at symbol {at}"


def looks_ahead(
    role: str, subject: Subject, symbols: Symbols, first: Answer, at: int, settings: Settings
) -> str:
    """Returns what shows that a row depends on symbols to come; "" if none up to `at` does."""
    for symbol in _others(symbols, at):
        other = symbols.copy()
        other[at:] = other[at:][::-1]
        other[at] = symbol
        row = first_unequal(first, run(role, subject, other.tobytes(), settings))
        if row is not None and row <= at:
            return (
                f"it looks ahead: with another text from symbol {at} on, what it says of symbol "
                f"{row} changes"
            )
    return ""


def _others(symbols: Symbols, at: int) -> list[int]:
    """Returns symbols that may come in place of one: some common ones, and a rare one.

    A gate that sees what comes may choose the same for some of them.
    """
    common = np.argsort(-np.bincount(symbols), kind="stable")[:3].tolist()
    return [symbol for symbol in dict.fromkeys([*common, 0, 1]) if symbol != symbols[at]][:4]


def explain_divergence(
    subject: Subject, symbols: Symbols, raw: bytes, encoded: Answer, decoded: Answer,
    settings: Settings,
) -> NotProvenError:  # fmt: skip
    """Returns the error of a decoder that did not give the text."""
    byte = first_difference(decoded.data, raw)
    at = first_unequal(encoded, decoded)
    if at is None:
        return NotProvenError(
            f"the decoder's bytes differ at byte {byte}, though its probabilities do not: it "
            "meddles with the coder"
        )
    at = min(at, len(symbols) - 1)
    cause = is_chance("encode", subject, symbols, encoded, settings) or looks_ahead(
        "encode", subject, symbols, encoded, at, settings
    )
    stopped = decoded.facts.get("stopped")
    return NotProvenError(
        f"the decoder diverges at symbol {at}, byte {byte}: "
        + (
            cause
            or "two runs of the encoder agree and no symbol ahead matters, so what it says depends "
            "on where and when it runs: folder, files, process or time"
        )
        + (f" (then {stopped:.120})" if stopped else "")
    )


def explain_lost_text(
    subject: Subject, raw: bytes, compressed: Answer, restored: Answer, settings: Settings
) -> NotProvenError:
    """Returns the error of a codec that did not give the text back."""
    if stopped := restored.facts.get("stopped"):
        return NotProvenError(
            f"decompress() raised {stopped:.120}: it gets the compressed file, and those of the "
            "codec's files that compress() opened, nothing else"
        )
    at = first_difference(restored.data, raw)
    again = run("compress", subject, raw, settings)
    cause = (
        "two equal runs write the same file, so it lacks part of the text, or decompress() depends "
        "on something else"
        if again.data == compressed.data
        else "it is not deterministic: two equal runs write different files"
    )
    return NotProvenError(
        f"what it decompresses is not the text: {len(restored.data):,} bytes for {len(raw):,}, "
        f"they first differ at byte {at}: {cause}"
    )


def check_score(
    subject: Subject, symbols: Symbols, raw_bytes: int, steps: Answer, settings: Settings
) -> dict[str, Any]:
    """Returns how `score` compares with single steps, for the certificate.

    Raises:
      NotProvenError: If it looks ahead, or is off by more than rounding explains.
    """
    block = run("score", subject, symbols.tobytes(), settings)
    gaps = np.abs(np.nan_to_num(block.bits - steps.bits, nan=0.0, posinf=1e3, neginf=1e3))
    claimed, made = (float(answer.bits.sum()) / raw_bytes for answer in (block, steps))
    differing = np.flatnonzero(block.checks != steps.checks)
    found = {
        "score_bits_per_byte": claimed if np.isfinite(claimed) else None,
        "rows_that_differ": len(differing),
        "largest_gap_bits": float(gaps.max(initial=0.0)),
    }
    if not len(differing):
        return found
    at = int(gaps.argmax())
    ahead = looks_ahead("score", subject, symbols, block, at, settings)
    if abs(claimed - made) <= ROUNDING and not ahead:
        return found
    cause = (
        is_chance("score", subject, symbols, block, settings)
        or ahead
        or "it does not look ahead and is deterministic, so it is another model"
    )
    raise NotProvenError(
        f"score() claims {claimed:.4f} bits per byte, single steps make {made:.4f}; they differ "
        f"most at symbol {at}: {cause}"
    )
