"""Explains a claimed figure by a wrong count of bytes: the commonest way to one that is too low."""

from __future__ import annotations

import math
from typing import Any

TOLERANCE = 0.003
"""Of the count that a claim implies, relative: claims have few digits."""


def explain(
    claim: float, raw: bytes, num_symbols: int, replaced_bytes: int, code_length_bits: float
) -> dict[str, Any]:
    """Returns a claim in bits per byte, what it divides by, and a line for people.

    Args:
      claim: What was claimed.
      raw: The text.
      num_symbols: How many tokens it has.
      replaced_bytes: Bytes of the tokens, each decoded alone with U+FFFD for what is no UTF-8.
      code_length_bits: What the predictor needs for the text.
    """
    implied = code_length_bits / claim
    counts = {
        "bytes, as is right": len(raw),
        "bytes with each space counted twice": len(raw) + raw.count(b" "),
        "bytes with each space counted three times": len(raw) + 2 * raw.count(b" "),
        "bytes of tokens decoded one by one, where parts of characters become U+FFFD": (
            replaced_bytes
        ),
        "characters": len(raw.decode(errors="replace")),
        "tokens": num_symbols,
        "bytes, and the code length is in nats": len(raw) / math.log(2),
    }
    name, count = min(counts.items(), key=lambda pair: abs(pair[1] - implied))
    if abs(count - implied) <= TOLERANCE * implied:
        line = f"the claim {claim:g} divides by {count:,.0f} {name}; there are {len(raw):,} bytes"
    else:
        line = (
            f"the claim {claim:g} would need a code length of {claim * len(raw) / 8:,.0f} bytes, "
            f"the predictor needs {code_length_bits / 8:,.0f}; no usual miscount explains it"
        )
    return {"claimed_bits_per_byte": claim, "implied_count": round(implied), "explanation": line}
