"""Rows of probabilities: checked, and made into the integers that the coder needs.

The rule: u = floor(p * 2**38), as integers; w = u * (2**24 - V) // sum(u), with V symbols; what is
left goes to the first most probable symbol. Symbol i then has frequency 1 + w[i] out of 2**24. Only
integers are added, so equal floats give equal frequencies on any machine, and no symbol costs more
than 24 bits: that one is the floor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.errors import NotProvenError
from lmcompress.range_coder import PRECISION_BITS, Freqs

RULE = (
    "u = floor(p * 2**38); w = u * (2**24 - V) // sum(u); the rest to the first largest p; "
    "frequency (1 + w) / 2**24"
)
NO_RULE = "none: a codec has a coder of its own"
SUM_TOLERANCE = 1e-4
"""How far a row's sum may be from 1: a softmax in float32 stays within 5e-6, one in bfloat16 does
not stay within 1e-3."""
MAX_SYMBOLS = 1 << 22
"""More would leave the most probable symbol too little of the 2**24."""
_UNIT_BITS = 38
"""2**38 units times 2**24 fit into 63 bits."""

Row = npt.NDArray[np.float64]


def to_freqs(row: Row) -> Freqs:
    """Returns the coder's frequencies less one of a row that `checked_row` returned: (1, V)."""
    budget = (1 << PRECISION_BITS) - len(row)
    units = np.floor(np.ldexp(row, _UNIT_BITS)).astype(np.int64)
    weights = units * budget // int(units.sum())
    weights[int(np.argmax(row))] += budget - int(weights.sum())
    return weights.astype(np.float32)[None]


def checked_row(found: Any, num_symbols: int, *, normalise: bool) -> Row:
    """Returns a copy, since predictors reuse their arrays: float64 (num_symbols,).

    Raises:
      NotProvenError: If it is not a row of probabilities; the message says what it is.
    """
    values = _as_array(found)
    if values.dtype.kind != "f":
        raise NotProvenError(f"probabilities() returned {values.dtype}, expected floats")
    if values.shape != (num_symbols,):
        raise NotProvenError(
            f"probabilities() returned an array of shape {values.shape}, expected ({num_symbols},)"
        )
    row = np.array(values, dtype=np.float64, subok=False)
    for bad, what in ((~np.isfinite(row), "not finite"), (row < 0, "negative")):
        if bad.any():
            symbol = int(bad.argmax())
            raise NotProvenError(f"the probability of symbol {symbol} is {what}: {row[symbol]:g}")
    return _summing_to_one(row, normalise=normalise)


def _as_array(found: Any) -> npt.NDArray[Any]:
    if hasattr(found, "detach"):  # a tensor of torch; NumPy knows no bfloat16
        return np.asarray(found.detach().cpu().double().numpy())
    try:
        return np.asarray(found)
    except (ValueError, TypeError) as exc:
        kind = type(found).__name__
        raise NotProvenError(f"probabilities() returned {kind}, expected floats: {exc}") from exc


def _summing_to_one(row: Row, *, normalise: bool) -> Row:
    with np.errstate(over="ignore"):
        total = float(row.sum())
    if normalise and 0 < total < np.inf:
        return row / total
    if abs(total - 1) > SUM_TOLERANCE:
        raise NotProvenError(
            f"the probabilities sum to {total:.6g}, not to 1 (--normalise divides them by it)"
        )
    return row
