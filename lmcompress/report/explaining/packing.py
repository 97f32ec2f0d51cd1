"""What the page's script knows of every byte, small enough for one file: planes of bytes, gzipped.

Costs are in steps of 1 / COST_STEPS bits, rounded so that the sum over any part of the text is
right to within a step. Chances are in steps of 1 / CHANCE_STEPS of the odds' natural logarithm.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.evidence import SPEAKERS
from lmcompress.codec.costs import ByteCosts

Bytes = npt.NDArray[np.uint8]

COST_STEPS = 64
CHANCE_STEPS, CHANCE_MIDDLE = 6, 128
SHARE_STEPS = 32
VOICES = 3
"""How many of those who spoke for a byte are shown."""
NOBODY = 255
_LEAST_CHANCE = 1 / 500
"""Less likely bytes are left out."""


def packed(costs: Sequence[ByteCosts]) -> str:
    """Returns base64 of gzip of planes of n bytes each.

    First the text. Then for each model: where tokens begin; costs, their low bytes and their high
    ones; the same of what the model alone would take, 65535 where there is none; the likeliest
    bytes; how likely these are; who spoke for the byte; and their shares of all that did, in steps
    of 1 / SHARE_STEPS.
    """
    planes = [np.frombuffer(costs[0].raw, np.uint8)]
    for one in costs:
        planes += _planes(one)
    return base64.b64encode(gzip.compress(b"".join(map(bytes, planes)), 9, mtime=0)).decode()


def _planes(costs: ByteCosts) -> list[Bytes]:
    trace = costs.trace
    alone = trace.model_bits
    has_model = not np.isnan(alone).any()
    of_model = steps_of(alone) if has_model else np.full(len(alone), 0xFFFF, np.uint16)
    likeliest = np.where(trace.chances >= _LEAST_CHANCE, trace.likeliest, 0)
    voices, shares = _voices(trace.evidence)
    return [
        trace.is_token_start.astype(np.uint8),
        *_halves(steps_of(trace.bits)),
        *_halves(of_model),
        *likeliest.T,
        *_chances(trace.chances).T,
        *voices.T,
        *shares.T,
    ]


def steps_of(bits: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """Returns costs (n,) in steps, of which every partial sum is rounded to the nearest."""
    sums = np.rint(np.concatenate(([0.0], np.cumsum(bits))) * COST_STEPS)
    steps: npt.NDArray[np.uint16] = np.minimum(np.diff(sums), 0xFFFE).astype(np.uint16)
    return steps


def _halves(values: npt.NDArray[np.uint16]) -> list[Bytes]:
    return [(values & 255).astype(np.uint8), (values >> 8).astype(np.uint8)]


def _chances(chances: npt.NDArray[np.float32]) -> Bytes:
    """Returns the logarithms of odds as 1 .. 255; 0 where it is less than the least."""
    p = np.clip(chances.astype(np.float64), 1e-7, 1 - 1e-7)
    logits = np.rint(np.log(p / (1 - p)) * CHANCE_STEPS) + CHANCE_MIDDLE
    return np.where(chances < _LEAST_CHANCE, 0, np.clip(logits, 1, 255)).astype(np.uint8)


def _voices(evidence: npt.NDArray[np.float32]) -> tuple[Bytes, Bytes]:
    """Returns who spoke most for each byte, and which share of what spoke for it, (n, VOICES)."""
    spoke = np.maximum(evidence, 0)
    total = spoke.sum(axis=1, keepdims=True)
    order = np.argsort(-spoke, axis=1, kind="stable")[:, :VOICES]
    found = np.take_along_axis(spoke, order, 1)
    shares = np.rint(SHARE_STEPS * found / np.where(total > 0, total, 1)).astype(np.uint8)
    return np.where(shares > 0, order, NOBODY).astype(np.uint8), shares


def has_tokens(costs: Sequence[ByteCosts]) -> bool:
    """Whether some model's symbols have several bytes."""
    return not all(one.trace.is_token_start.all() for one in costs)


def layout(costs: Sequence[ByteCosts]) -> dict[str, object]:
    """Returns what the script must know to read the planes."""
    return {
        "bytes": len(costs[0].raw),
        "models": [one.model.name for one in costs],
        "hasTokens": has_tokens(costs),
        "speakers": list(SPEAKERS),
        "likeliest": costs[0].trace.likeliest.shape[1],
        "voices": VOICES,
        "costSteps": COST_STEPS,
        "chanceSteps": CHANCE_STEPS,
        "chanceMiddle": CHANCE_MIDDLE,
        "shareSteps": SHARE_STEPS,
        "nobody": NOBODY,
    }
