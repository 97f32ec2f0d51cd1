"""What the page says in tables: words, kinds of bytes, who predicted, and what adds up."""

from __future__ import annotations

import lzma
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.adaptive.evidence import SPEAKERS
from lmcompress.codec.costs import ByteCosts

WORDS_SHOWN = 25
CURVE_POINTS = 300
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")
_KINDS: dict[str, bytes] = {
    "small letters": bytes(range(97, 123)),
    "capital letters": bytes(range(65, 91)),
    "digits": bytes(range(48, 58)),
    "spaces and tabs": b" \t",
    "ends of lines": b"\r\n",
    "punctuation": bytes(c for c in range(33, 127) if not chr(c).isalnum()),
    "beyond ASCII (bytes from 128 on)": bytes(range(128, 256)),
    "control bytes": bytes([*(c for c in range(32) if c not in b"\t\r\n"), 127]),
}


class Word(NamedTuple):
    """A word, wherever it stands."""

    text: str
    times: int
    bits: tuple[float, ...]
    """Under each model, all times together."""


class Part(NamedTuple):
    """Some of the bytes, under one model or more."""

    name: str
    num_bytes: int
    bits: tuple[float, ...]


def visible(raw: bytes) -> str:
    """Returns bytes as text in which nothing is hidden: no control, no direction, no bad byte."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"⟨U+{ord(c):04X}⟩" for c in text)


def xz_bytes(raw: bytes) -> int:
    """Returns the size that `xz -9e` gives."""
    return len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME))


def expensive_words(costs: Sequence[ByteCosts]) -> list[Word]:
    """Returns the words that take most bits, all times together, under the first model."""
    sums = [np.concatenate(([0.0], np.cumsum(one.trace.bits))) for one in costs]
    found: dict[bytes, list[float]] = {}
    for match in _WORD.finditer(costs[0].raw):
        totals = found.setdefault(match[0], [0] + [0.0] * len(costs))
        totals[0] += 1
        for k, total in enumerate(sums):
            totals[k + 1] += total[match.end()] - total[match.start()]
    most = sorted(found.items(), key=lambda item: -item[1][1])[:WORDS_SHOWN]
    return [Word(_shortened(visible(raw)), int(t[0]), tuple(t[1:])) for raw, t in most]


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def kinds_of_bytes(costs: Sequence[ByteCosts]) -> list[Part]:
    """Returns the kinds of bytes that there are, each with what it takes."""
    counts = np.bincount(np.frombuffer(costs[0].raw, np.uint8), minlength=256)
    bits = [_by_byte(one) for one in costs]
    parts = []
    for name, members in _KINDS.items():
        chosen = list(members)
        totals = tuple(float(of_model[chosen].sum()) for of_model in bits)
        parts.append(Part(name, int(counts[chosen].sum()), totals))
    return [part for part in parts if part.num_bytes]


def _by_byte(costs: ByteCosts) -> npt.NDArray[np.float64]:
    raw = np.frombuffer(costs.raw, np.uint8)
    sums: npt.NDArray[np.float64] = np.bincount(
        raw, weights=costs.trace.bits, minlength=256
    ).astype(np.float64)
    return sums


def network_bits(costs: ByteCosts) -> float | None:
    """Returns what all bytes would cost if the network alone predicted; None if it did not."""
    alone = costs.trace.model_bits
    return None if np.isnan(alone).any() else float(alone.sum())


def predictors(costs: ByteCosts) -> list[Part]:
    """Returns who supported most how many bytes, and what these take; also who never did."""
    names, which, counts = np.unique(costs.predictors, return_inverse=True, return_counts=True)
    bits = np.bincount(which, weights=costs.trace.bits, minlength=len(names))
    parts = [
        Part(str(name), int(count), (float(total),))
        for name, count, total in zip(names, counts, bits, strict=True)
    ]
    has_network = costs.model.weights is not None
    silent = (name for name in SPEAKERS[not has_network :] if name not in names)
    parts += [Part(name, 0, (0.0,)) for name in silent]
    return sorted(parts, key=lambda part: -part.num_bytes)


def curve(costs: ByteCosts) -> list[float]:
    """Returns bits per byte along the text, of at most CURVE_POINTS parts of equal length."""
    count = len(costs.raw)
    edges = np.linspace(0, count, min(CURVE_POINTS, max(1, count // 8)) + 1).astype(int)
    sums = np.concatenate(([0.0], np.cumsum(costs.trace.bits)))
    rates = np.diff(sums[edges]) / np.maximum(1, np.diff(edges))
    return [float(rate) for rate in rates]
