"""What docs/adaptive.md computes with, in plain Python; no code of the package."""

from __future__ import annotations

import string
from decimal import Decimal, localcontext

TOTAL, LIMIT = 1 << 22, 3071
ORDERS, MIN_MATCH = (2, 3, 4, 6, 8), (5, 12, 24)
CONTEXTS = 12
INPUTS = 3 * CONTEXTS + 2 + 6 + 3
GPT, MATCHES, LAST = 3 * CONTEXTS, 3 * CONTEXTS + 2, 3 * CONTEXTS + 8
SHAPES = {
    c: ord(kind[0])
    for kind in (string.digits, string.ascii_uppercase, string.ascii_lowercase)
    for c in kind
}
EDGES = (1, 2, 3, 4, 5, 7, 11, 19, 40, 120)


def squash_table() -> dict[int, int]:
    with localcontext(prec=60):
        upper = [TOTAL / (1 + (Decimal(-x) / 256).exp()) for x in range(LIMIT + 1)]
        rounded = [int((p + Decimal("0.5")).to_integral_value("ROUND_FLOOR")) for p in upper]
    return {x: rounded[x] if x >= 0 else TOTAL - rounded[-x] for x in range(-LIMIT, LIMIT + 1)}


SQUASH = squash_table()


def stretch_table(step: int) -> list[int]:
    table, x = [], -LIMIT
    for j in range(4096):
        while x < LIMIT and SQUASH[x] < j * step + step // 2:
            x += 1
        table.append(x)
    return table


COARSE, MIDDLE, FINE = stretch_table(1024), stretch_table(16), stretch_table(1)


def stretch(p: int) -> int:
    rest, sign = (TOTAL - p, -1) if p > TOTAL // 2 else (p, 1)
    if rest >= 65536:
        return sign * COARSE[rest // 1024]
    return sign * (MIDDLE[rest // 16] if rest >= 4096 else FINE[rest])


def mixed_hash(h: int, *values: int) -> int:
    for value in values:
        h = (h + value + 1) * 0x2C9277B5 % 2**44
        h ^= h >> 17
    return h


def clamp(x: int, limit: int = LIMIT) -> int:
    return max(-limit, min(limit, x))


def moved(counter: list[int], target: int, most: int) -> None:
    p, count = counter
    counter[:] = p + ((target - p) * ((10 << 16) // (10 * count + 16)) >> 16), min(count + 1, most)


def seen_bit(counter: list[int], y: int, most: int) -> None:
    moved(counter, TOTAL - 1 if y else 0, most)


def is_letter(c: int) -> bool:
    return (chr(c).isascii() and chr(c).isalpha()) or c >= 128


def weighted(weights: list[int], inputs: list[int]) -> int:
    """Returns a mixer's output: sums are those of 32-bit integers."""
    total = sum((w >> 4) * x for w, x in zip(weights, inputs, strict=True))
    return clamp(((total + 2**31) % 2**32 - 2**31) >> 12)


def moved_weights(weights: list[int], inputs: list[int], d: int, y: int, rate: int) -> None:
    error = ((y << 22) - SQUASH[d]) * rate >> 9
    weights[:] = [w + (x * error + 2**16 >> 17) for w, x in zip(weights, inputs, strict=True)]


def falling(first: int, last: int, seen: int) -> int:
    return last + (first - last) * 8192 // (8192 + seen)


def length_class(length: int) -> int:
    if length < 16:
        return length
    if length < 32:
        return 16 + (length - 16) // 4
    if length < 64:
        return 20 + (length - 32) // 8
    return 24 + length // 128 if length < 512 else 28


def new_weights(gpt: int, other: int) -> list[int]:
    weights = [other] * INPUTS
    weights[GPT] = gpt
    return weights


def new_map() -> list[int]:
    return [SQUASH[clamp(256 * k - LIMIT - 1)] for k in range(32)]
